package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// blocking are the calls that wait, each in a situation in which it does. They
// return with an error when ctx ends or the Conn is closed.
var blocking = []struct {
	name string
	call func(ctx context.Context, c *Conn) error
}{
	{"ReadResponse", func(ctx context.Context, c *Conn) error {
		_, err := c.ReadResponse(ctx)
		return err
	}},
	{"Poll readable", func(ctx context.Context, c *Conn) error {
		_, err := c.Poll(ctx, Readable)
		if err == nil { // closed
			_, err = c.ReadResponse(ctx)
		}
		return err
	}},
	{"WriteContext", func(ctx context.Context, c *Conn) error {
		_, err := c.WriteContext(ctx, make([]byte, 16<<20))
		return err
	}},
	{"Poll both", func(ctx context.Context, c *Conn) error {
		for {
			if _, err := c.TryWrite(make([]byte, 16<<20)); err != nil {
				return err
			}
			if _, err := c.Poll(ctx, Writable|Readable); err != nil {
				return err
			}
		}
	}},
	{"SendFile", func(ctx context.Context, c *Conn) error {
		file := c.SendFile(zeros{}).WithContext(ctx)
		for file.Next() {
			if _, err := c.ReadResponse(ctx); err != nil {
				return err
			}
		}
		return file.Err()
	}},
}

// zeros yields zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

const blockedSize = 1 << 40

// blocked starts each of the blocking calls on each back-end, and calls end when
// it is likely to wait.
func blocked(t *testing.T, end func(t *testing.T, c *Conn, cancel func()), after func(t *testing.T, c *Conn, err error)) {
	for _, b := range blocking {
		t.Run(b.name, func(t *testing.T) {
			eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
				require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: blockedSize}))
				ctx, cancel := context.WithCancelCause(bg())
				result := make(chan error, 1)
				go func() { result <- b.call(ctx, c) }()
				time.Sleep(5 * time.Millisecond) // the rule holds without; the test says more with it
				end(t, c, func() { cancel(errors.New("enough")) })
				after(t, c, <-result)
			})
		})
	}
}

func TestCloseWhileAnotherWaits(t *testing.T) {
	blocked(t, func(t *testing.T, c *Conn, _ func()) {
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
	}, func(t *testing.T, c *Conn, err error) {
		require.ErrorIs(t, err, ErrConnectionClosed)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "no response has begun")
	})
}

func TestCancelWhileWaiting(t *testing.T) {
	blocked(t, func(_ *testing.T, _ *Conn, cancel func()) { cancel() }, func(t *testing.T, c *Conn, err error) {
		require.EqualError(t, err, "enough")
		// The Conn goes on.
		_, err = c.Poll(soon(t), Readable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, c.Pending())
	})
}

func TestConnIsUsableAfterCancellation(t *testing.T) {
	content := pipetest.Content("up", 4<<20)
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		up := c.Send(&Request{Method: "PUT", Target: "/", Body: content}).WithContext(soon(t))
		require.False(t, up.Next())
		require.ErrorIs(t, up.Err(), context.DeadlineExceeded)
		_, err := c.ReadResponse(soon(t))
		require.ErrorIs(t, err, context.DeadlineExceeded)

		got := record(t, server)
		up.WithContext(bg())
		for up.Next() {
			t.Fatal("there is no response yet")
		}
		require.NoError(t, up.Err())
		sameOctets(t, content, (<-got).content)
		wantResponse(t, c, "/", 204, "")
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/next"}))
		wantResponse(t, c, "/next", 204, "")
	})
}

func TestCancelledBeforeSending(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		ctx, cancel := context.WithCancel(bg())
		cancel()
		require.ErrorIs(t, c.SendRequest(ctx, &Request{Target: "/"}), context.Canceled)
		require.False(t, c.Send(&Request{Target: "/"}).WithContext(ctx).Next())
		require.False(t, c.Pending())
		got := record(t, server)
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/real"}))
		require.Equal(t, "/real", (<-got).req.URL.Path)
	})
}

// Whoever lost the rest of the content cannot go on.
func TestCancelledSendRequestWithContent(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		ctx, cancel := context.WithCancel(bg())
		go func() {
			for !c.Pending() {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		err := c.SendRequest(ctx, &Request{Method: "PUT", Target: "/", Body: make([]byte, 8<<20)})
		require.ErrorIs(t, err, context.Canceled)
		err = c.SendRequest(bg(), &Request{Target: "/next"})
		require.ErrorIs(t, err, ErrConnectionClosed)
		send(t, server, ok("early"))
		wantResponse(t, c, "/", 200, "early")
	})
}

func TestCloseInContentIsNoEnd(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
		send(t, server, "HTTP/1.1 200 OK\r\n\r\nsome")
		_, err := c.ReadResponse(bg())
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 4))
		require.NoError(t, err)
		c.Close()
		for range 2 {
			_, err = c.Read(make([]byte, 4))
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, err, ErrConnectionClosed)
		}
	})
}

func TestSurplusBeforeSend(t *testing.T) {
	for _, octets := range []string{"x", ok("injected"), "HTTP/1.1 408 Request Timeout\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			got := record(t, server)
			require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
			wantResponse(t, c, "/", 204, "")
			<-got
			send(t, server, octets)
			wantReadable(t, c)
			require.ErrorIs(t, c.SendRequest(bg(), &Request{Target: "/next"}), ErrSurplus)
			send := c.Send(&Request{Target: "/next"})
			require.False(t, send.Next())
			require.ErrorIs(t, send.Err(), ErrSurplus)
			require.ErrorIs(t, send.Err(), ErrConnectionClosed)
			select {
			case <-got:
				t.Fatal("a request was sent")
			default:
			}
		})
	}
}

// Nobody has looked before: the raw back-ends see what lies in the socket.
func TestSurplusInTheSocket(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, false)
			send(t, server, "x")
			c := NewConn(client, nil)
			defer c.Close()
			if pump, ok := c.link.(*pumpLink); ok { // loopback delivers at once, its goroutine may take a moment
				waitUntil(func() bool {
					pump.mu.Lock()
					defer pump.mu.Unlock()
					return pump.offers()
				})
			}
			require.ErrorIs(t, c.SendRequest(bg(), &Request{Target: "/", Host: "h"}), ErrSurplus)
		})
	}
}

func TestSurplusWhereNoResponseIsDue(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		send(t, server, ok("injected"))
		wantReadable(t, c)
		_, err := c.ReadResponse(bg())
		require.ErrorIs(t, err, ErrSurplus)
	})
}

// A goroutine that polls an idle connection must not keep a sender from looking.
func TestSenderLooksForSurplusWhileAnotherPolls(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		polled := make(chan error, 1)
		for i := range 100 {
			go func() {
				_, err := c.Poll(bg(), Readable)
				polled <- err
			}()
			waitUntil(func() bool { return len(c.receiveHalf.owner) > 0 })
			target := fmt.Sprint("/", i)
			require.NoError(t, c.SendRequest(bg(), &Request{Target: target}))
			require.Equal(t, target, (<-got).req.URL.Path)
			require.NoError(t, <-polled)
			wantResponse(t, c, target, 204, "")
		}
	})
}

func TestPeerClosesIdleConnection(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		server.Close()
		wantReadable(t, c)
		err := c.SendRequest(bg(), &Request{Target: "/"})
		require.ErrorIs(t, err, ErrConnectionClosed)
		require.NotErrorIs(t, err, ErrSurplus)
	})
}

// A peer that has ended its side may still read, and has answered all the same.
func TestHalfClosedPeer(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, false)
			c := NewConn(client, &Options{Host: "h"})
			defer c.Close()
			for _, target := range []string{"/a", "/b"} {
				require.NoError(t, c.SendRequest(bg(), &Request{Target: target}))
			}
			send(t, server, ok("A"))
			require.NoError(t, server.(interface{ CloseWrite() error }).CloseWrite())
			wantResponse(t, c, "/a", 200, "A")
			_, err := c.ReadResponse(bg())
			require.ErrorIs(t, err, io.EOF)
			require.ErrorIs(t, err, ErrConnectionClosed)
		})
	}
}

func TestAnswersSurviveAFailedWrite(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		br := bufio.NewReader(server)
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/a"}))
		readRequest(t, br)
		send(t, server, ok("A"))
		wantReadable(t, c) // it has arrived, and survives what follows
		server.Close()
		var err error
		for err == nil {
			err = c.SendRequest(bg(), &Request{Method: "PUT", Target: "/b", Body: make([]byte, 1<<20)})
		}
		require.ErrorIs(t, err, ErrConnectionClosed)
		wantResponse(t, c, "/a", 200, "A")
		_, err = c.ReadResponse(bg())
		require.ErrorIs(t, err, ErrConnectionClosed)
	})
}

func TestTimeout(t *testing.T) {
	opts := &Options{Timeout: 20 * time.Millisecond}
	for _, b := range blocking {
		t.Run(b.name, func(t *testing.T) {
			eachBackendWith(t, true, opts, func(t *testing.T, c *Conn, server net.Conn) {
				require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: blockedSize}))
				err := b.call(bg(), c)
				var timeout *TimeoutError
				require.ErrorAs(t, err, &timeout)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.True(t, IsTemporary(err))
				send(t, server, ok("late"))
				wantResponse(t, c, "/", 200, "late")
			})
		})
	}
}

func TestTrace(t *testing.T) {
	var log strings.Builder
	eachBackendWith(t, false, &Options{Trace: &log}, func(t *testing.T, c *Conn, server net.Conn) {
		log.Reset()
		serving(t, server, func(*http.Request, []byte) string { return ok("hi\n") })
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
		wantResponse(t, c, "/", 200, "hi\n")
		require.Equal(t, `> "GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n"
< "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n"
`, log.String())
	})
}

func TestInvalidRequestsSendNothing(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		for _, req := range []*Request{
			{Target: "/ x"},
			{Target: "/", Method: "G T"},
			{Target: "/", Header: http.Header{"A": {"b\r\nc: d"}}},
			{Target: "/", Body: []byte("x"), ContentLength: 1},
		} {
			require.Error(t, c.SendRequest(bg(), req))
			require.False(t, c.Pending())
		}
		got := record(t, server)
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/real"}))
		require.Equal(t, "/real", (<-got).req.URL.Path)
	})
}
