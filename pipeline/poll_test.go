package pipeline

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// soon is a context for calls that must not return by themselves. A test that
// wants "nothing happens" can miss that something does, but never fails wrongly.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(bg(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestPollSeesWhatIsBuffered(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		br := bufio.NewReader(server)
		for range 2 {
			require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
			readRequest(t, br)
		}
		send(t, server, ok("one")+ok("two"))
		wantResponse(t, c, "/", 200, "one")
		// The socket has nothing more to say.
		wantReadable(t, c)
		ready, err := c.Poll(bg(), Readable|Writable)
		require.NoError(t, err)
		require.Equal(t, Readable|Writable, ready)
		wantResponse(t, c, "/", 200, "two")
	})
}

// A chunk's framing is no content: who suspends for it waits for content that
// may depend on what is still to be sent.
func TestPollPassesOverInterimsAndChunkFraming(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		br := bufio.NewReader(server)
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
		readRequest(t, br)
		quiet := func(octets string) {
			t.Helper()
			send(t, server, octets)
			ready, err := c.Poll(soon(t), Readable)
			require.ErrorIs(t, err, context.DeadlineExceeded, "readable after %q", octets)
			require.Zero(t, ready)
		}
		quiet("HTTP/1.1 1")
		quiet("03 Early Hints\r\nLink: x\r\n")
		quiet("\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ")
		send(t, server, "2")
		wantReadable(t, c)
		send(t, server, "00 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.EqualValues(t, -1, resp.ContentLength)
		quiet("5\r")
		quiet("\n")
		send(t, server, "h")
		wantReadable(t, c)
		send(t, server, "ello")
		p := make([]byte, 5)
		_, err = io.ReadFull(c, p)
		require.NoError(t, err)
		require.Equal(t, "hello", string(p))
		quiet("\r\n0")
		quiet("\r\n")
		send(t, server, "\r\n")
		wantReadable(t, c)
		for range 2 {
			n, err := c.Read(p)
			require.Zero(t, n)
			require.Equal(t, io.EOF, err)
		}
	})
}

func TestInterimInMidUploadDoesNotSuspend(t *testing.T) {
	const size = 1 << 20
	content := strings.Repeat("0123456789abcdef", size/16)
	for _, interim := range []string{"103 Early Hints", "100 Continue"} {
		eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
			c.opts.Interim = func(r *Response) { require.Equal(t, "/up", r.Target) }
			serverDone := make(chan string, 1)
			go func() {
				br := bufio.NewReader(server)
				req, _ := http.ReadRequest(br)
				for range 8 {
					io.CopyN(io.Discard, req.Body, size/16)
					io.WriteString(server, "HTTP/1.1 "+interim+"\r\nLink: </style>\r\n\r\n")
				}
				rest, _ := io.ReadAll(req.Body)
				io.WriteString(server, ok(""))
				serverDone <- string(rest)
			}()
			send := c.Send(&Request{Method: "PUT", Target: "/up", ContentLength: size})
			require.False(t, send.Next())
			require.NoError(t, send.Err())
			file := c.SendFile(strings.NewReader(content))
			for file.Next() {
				// Only the answer itself may suspend it, when all is sent.
				select {
				case rest := <-serverDone:
					serverDone <- rest
				default:
					t.Fatal("suspended for an interim response")
				}
			}
			require.NoError(t, file.Err())
			require.True(t, content[size/2:] == <-serverDone)
			wantResponse(t, c, "/up", 200, "")
		})
	}
}

func TestInterimsWithoutEnd(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
		go func() {
			flood := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000)
			for {
				if _, err := io.WriteString(server, flood); err != nil {
					return
				}
			}
		}()
		_, err := c.ReadResponse(bg())
		var invalid *InvalidResponseError
		require.ErrorAs(t, err, &invalid)
	})
}

func TestRequestCountsAsPendingFromItsFirstOctet(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		up := c.Send(&Request{Method: "PUT", Target: "/up", Body: make([]byte, 8<<20)})
		require.False(t, c.Pending(), "nothing is sent before the first Next")
		require.Equal(t, SendWouldBlock, up.Step())
		require.True(t, c.Pending())

		// The peer reads the head and answers at once, and reads no more.
		_, err := http.ReadRequest(bufio.NewReaderSize(server, 16))
		require.NoError(t, err)
		send(t, server, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
		require.True(t, up.Next())
		wantResponse(t, c, "/up", 413, "no!")
		require.False(t, c.Pending())

		next := c.Send(&Request{Target: "/"})
		require.False(t, next.Next())
		require.Error(t, next.Err())
	})
}

func TestResumedWithoutReading(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		const size = 4 << 20
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/first"}))
		br := bufio.NewReader(server)
		readRequest(t, br)
		send(t, server, ok("first"))
		up := c.Send(&Request{Method: "PUT", Target: "/up", Body: []byte(strings.Repeat("x", size))})
		wantReadable(t, c)
		got := make(chan int64, 1)
		go func() {
			req, err := http.ReadRequest(br)
			if err == nil {
				n, _ := io.Copy(io.Discard, req.Body)
				got <- n
			}
		}()
		suspended := 0
		for up.Next() { // reads nothing
			suspended++
		}
		require.NoError(t, up.Err())
		require.Positive(t, suspended)
		require.EqualValues(t, size, <-got)
		send(t, server, ok("second"))
		wantResponse(t, c, "/first", 200, "first")
		wantResponse(t, c, "/up", 200, "second")
	})
}

// fill writes content until no more fits, and ends it: nobody reads, and so the end
// is kept back. The kernel moves octets from one buffer to the next in its own
// time, so full is what stays full for a while; if it is not after all, the test
// shows less.
func fill(t *testing.T, c *Conn) (sent int) {
	t.Helper()
	for full := 0; full < 10; full++ {
		n, err := c.TryWrite(make([]byte, 1<<20))
		require.NoError(t, err)
		if sent += n; n > 0 {
			full = 0
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	require.NoError(t, c.CloseBody(nil))
	return sent
}

// What TryWrite and CloseBody have kept back goes out while the answer is waited
// for: nobody else is there to send it.
func TestWaitingForInputHandsOverWhatIsKeptBack(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: -1}))
		sent := fill(t, c)
		serving(t, server, func(_ *http.Request, content []byte) string { return ok(fmt.Sprint(len(content))) })
		wantResponse(t, c, "/", 200, fmt.Sprint(sent))
	})
}

// The same with two goroutines: the sender leaves octets behind and goes away
// while the receiver is already waiting.
func TestReceiverHandsOverWhatTheSenderLeaves(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: -1}))
		answered := make(chan error, 1)
		go func() {
			_, err := c.ReadResponse(bg())
			answered <- err
		}()
		waitUntil(func() bool { return c.readsAlone.Load() })
		fill(t, c)
		serving(t, server, func(*http.Request, []byte) string { return ok("") })
		require.NoError(t, <-answered)
	})
}

// waitUntil waits for what another goroutine does.
func waitUntil(done func() bool) {
	for !done() {
		time.Sleep(100 * time.Microsecond)
	}
}

func TestNonBlockingForms(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		br := bufio.NewReader(server)
		send1 := c.Send(&Request{Target: "/"})
		for send1.Step() != Done {
			_, err := c.Poll(bg(), Writable)
			require.NoError(t, err)
		}
		readRequest(t, br)
		_, err := c.TryReadResponse()
		require.Equal(t, ErrWouldBlock, err)
		send(t, server, "HTTP/1.1 200 OK\r\nContent-Le")
		wantReadable(t, c)
		_, err = c.TryReadResponse()
		require.Equal(t, ErrWouldBlock, err, "half a head")
		send(t, server, "ngth: 3\r\n\r\n")
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.Equal(t, "OK", resp.Reason)
		p := make([]byte, 10)
		_, err = c.TryRead(p)
		require.Equal(t, ErrWouldBlock, err)
		send(t, server, "abc")
		wantReadable(t, c)
		n, err := c.TryRead(p)
		require.NoError(t, err)
		require.Equal(t, "abc", string(p[:n]))
		_, err = c.TryRead(p)
		require.Equal(t, io.EOF, err)
		_, err = c.TryReadResponse()
		var state *StateError
		require.ErrorAs(t, err, &state)
	})
}
