package memnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// outcome is what a blocked call returned.
type outcome struct {
	octets string
	n      int
	err    error
}

// readInBackground starts one Read of up to 64 octets.
func readInBackground(c net.Conn) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		done <- outcome{string(buf[:n]), n, err}
	}()
	return done
}

func writeInBackground(c net.Conn, p []byte) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		n, err := c.Write(p)
		done <- outcome{"", n, err}
	}()
	return done
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	n, err := c.Write([]byte(s))
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// readErr is the error of a Read that must return no octets.
func readErr(t *testing.T, c net.Conn) error {
	t.Helper()
	n, err := c.Read(make([]byte, 8))
	require.Zero(t, n)
	return err
}

func pending[T any](t *testing.T, ch <-chan T) {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-ch:
		t.Fatalf("the call returned %v, but should wait", v)
	default:
	}
}

func TestFullDuplexOrder(t *testing.T) {
	const total = 200_000
	for _, opts := range [][]Option{
		nil,
		{Buffer(1)},
		{Buffer(256), MaxRead(7)},
		{Buffer(256), MaxWrite(1)},
		{Buffer(4096), Latency(50 * time.Microsecond)},
	} {
		client, server := Pipe(opts...)
		sum := total
		if len(opts) > 0 {
			sum = total / 20
		}
		var wg sync.WaitGroup
		for i, c := range []*Conn{client, server} {
			sent, wanted := noise(uint64(i), sum), noise(uint64(1-i), sum)
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(i)))
				for p := sent; len(p) > 0; {
					n := min(len(p), 1+rng.IntN(3000))
					if _, err := c.Write(p[:n]); err != nil {
						t.Error(err)
					}
					p = p[n:]
				}
				c.CloseWrite()
			})
			wg.Go(func() {
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, wanted) {
					t.Errorf("%d options: got %d octets, error %v; they must equal the %d sent", len(opts), len(got), err, len(wanted))
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, sum, client.Stats().OctetsRead)
		require.EqualValues(t, sum, client.Stats().OctetsWritten)
	}
}

func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

func TestConcurrentWritesDoNotInterleave(t *testing.T) {
	client, server := Pipe(Buffer(3), MaxWrite(2))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				client.Write(bytes.Repeat([]byte{byte('a' + i)}, 10))
			}
		})
	}
	go func() { wg.Wait(); client.Close() }()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Len(t, got, 8*20*10)
	for run := range 8 * 20 {
		part := got[run*10 : run*10+10]
		require.Equal(t, bytes.Repeat(part[:1], 10), part)
	}
}

func TestBufferBoundsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Buffer(4))
		mustWrite(t, client, "abcd")
		write := writeInBackground(client, []byte("efghij"))
		pending(t, write)
		mustRead(t, server, "ab")
		pending(t, write)
		require.Equal(t, 4, server.Unread())
		require.Equal(t, 4, server.Unread())
		mustRead(t, server, "cdefghij")
		require.Equal(t, outcome{n: 6}, <-write)
		mustWrite(t, server, "free") // the other direction never was full
	})
}

func TestSetBufferFreesBlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Buffer(1))
		write := writeInBackground(client, []byte("abc"))
		pending(t, write)
		server.SetBuffer(3)
		require.Equal(t, outcome{n: 3}, <-write)
	})
}

func TestLimitsPerCall(t *testing.T) {
	client, server := Pipe(MaxRead(2))
	mustWrite(t, client, "abc")
	buf := make([]byte, 10)
	n, err := server.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "ab", string(buf[:n]))
	server.SetMaxRead(0)
	mustWrite(t, client, "de")
	n, err = server.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "cde", string(buf[:n]))
}

func TestMaxWriteHandsOverPieces(t *testing.T) {
	client, server := Pipe(Latency(time.Hour), MaxWrite(2))
	client.SetMaxWrite(3)
	mustWrite(t, client, "abcdefgh")
	var pieces []string
	for _, seg := range server.in.flying {
		pieces = append(pieces, string(seg.octets))
	}
	require.Equal(t, []string{"abc", "def", "gh"}, pieces)
}

func TestMaxWriteWaitsPiecewise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Buffer(5), MaxWrite(2))
		write := writeInBackground(client, []byte("abcdefgh"))
		pending(t, write)
		require.Equal(t, 5, server.Unread())
		mustRead(t, server, "abcdefgh")
		require.Equal(t, outcome{n: 8}, <-write)
	})
}

func TestDeadlines(t *testing.T) {
	past := func() time.Time { return time.Now().Add(-time.Second) }
	wantTimeout := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
	}
	tests := map[string]func(t *testing.T, client, server *Conn){
		"past read deadline fails before it takes octets": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "abc")
			require.NoError(t, server.SetReadDeadline(past()))
			wantTimeout(t, readErr(t, server))
			require.NoError(t, server.SetReadDeadline(time.Time{}))
			mustRead(t, server, "abc")
		},
		"past write deadline fails before it hands over octets": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.SetWriteDeadline(past()))
			n, err := client.Write([]byte("abc"))
			require.Zero(t, n)
			wantTimeout(t, err)
			require.NoError(t, client.SetDeadline(time.Time{}))
			mustWrite(t, client, "abc")
			mustRead(t, server, "abc")
		},
		"past deadline wakes blocked calls": func(t *testing.T, client, server *Conn) {
			read, write := readInBackground(client), writeInBackground(client, make([]byte, 9))
			pending(t, read)
			pending(t, write)
			require.NoError(t, client.SetDeadline(past()))
			wantTimeout(t, (<-read).err)
			got := <-write
			require.Equal(t, 8, got.n)
			wantTimeout(t, got.err)
		},
		"deadline comes while blocked": func(t *testing.T, client, server *Conn) {
			start := time.Now()
			require.NoError(t, client.SetReadDeadline(start.Add(time.Minute)))
			wantTimeout(t, readErr(t, client))
			require.Equal(t, time.Minute, time.Since(start))
		},
		"write deadline comes while blocked": func(t *testing.T, client, server *Conn) {
			start := time.Now()
			require.NoError(t, client.SetWriteDeadline(start.Add(time.Minute)))
			n, err := client.Write(make([]byte, 20))
			require.Equal(t, 8, n)
			wantTimeout(t, err)
			require.Equal(t, time.Minute, time.Since(start))
		},
		"a blocked call follows a moved deadline": func(t *testing.T, client, server *Conn) {
			start := time.Now()
			require.NoError(t, client.SetReadDeadline(start.Add(time.Minute)))
			read := readInBackground(client)
			pending(t, read)
			require.NoError(t, client.SetReadDeadline(start.Add(time.Hour)))
			time.Sleep(2 * time.Minute)
			pending(t, read)
			require.NoError(t, client.SetReadDeadline(start.Add(3*time.Minute)))
			wantTimeout(t, (<-read).err)
			require.Equal(t, 3*time.Minute, time.Since(start))
		},
		"a deadline of one direction spares the other": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.SetReadDeadline(past()))
			mustWrite(t, client, "x")
			require.NoError(t, server.SetWriteDeadline(past()))
			mustRead(t, server, "x")
		},
		"setting one after Close fails": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.Close())
			require.ErrorIs(t, client.SetDeadline(time.Now()), net.ErrClosed)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := Pipe(Buffer(8))
				test(t, client, server)
			})
		})
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Latency(25 * time.Millisecond))
		start := time.Now()
		mustWrite(t, client, "a")
		time.Sleep(10 * time.Millisecond)
		mustWrite(t, client, "b")
		require.NoError(t, client.CloseWrite())

		read := readInBackground(server)
		require.Equal(t, outcome{"a", 1, nil}, <-read)
		require.Equal(t, 25*time.Millisecond, time.Since(start))
		mustRead(t, server, "b")
		require.Equal(t, 35*time.Millisecond, time.Since(start))
		require.Equal(t, io.EOF, readErr(t, server))
		require.Equal(t, 35*time.Millisecond, time.Since(start))

		mustWrite(t, server, "pong")
		mustRead(t, client, "pong")
		require.Equal(t, 60*time.Millisecond, time.Since(start))
	})
}

// Latency delays octets, it does not meter them.
func TestLatencyDoesNotLimitThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Buffer(1<<20), Latency(25*time.Millisecond))
		start := time.Now()
		want := noise(3, 1<<20)
		for i := 0; i < len(want); i += 1024 {
			mustWrite(t, client, string(want[i:i+1024]))
		}
		require.Zero(t, time.Since(start))
		mustRead(t, server, string(want))
		require.Equal(t, 25*time.Millisecond, time.Since(start))
	})
}

func TestLatencyDelaysTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Latency(time.Second))
		start := time.Now()
		require.NoError(t, client.Close())
		require.Equal(t, io.EOF, readErr(t, server))
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestCountersAndLog(t *testing.T) {
	client, server := Pipe(LogWrites())
	mustWrite(t, client, "GET /a\r\n\r\nGET /b\r\n\r\n")
	mustWrite(t, client, "x")
	mustRead(t, server, "GET /a\r\n\r\nGET /b\r\n\r\nx")
	require.Equal(t, []string{"GET /a\r\n\r\nGET /b\r\n\r\n", "x"}, client.WriteLog())
	require.Equal(t, "GET /a\r\n\r\nGET /b\r\n\r\nx", string(client.Sent()))
	require.Equal(t, Stats{Writes: 2, OctetsWritten: 21}, client.Stats())
	require.Equal(t, Stats{Reads: 1, OctetsRead: 21}, server.Stats())
	require.Empty(t, server.WriteLog())
}

func TestFailWrite(t *testing.T) {
	broken := errors.New("broken cable")
	client, server := Pipe()
	mustWrite(t, client, "ab")
	client.FailWrite(5, broken)
	n, err := client.Write([]byte("cdefg"))
	require.Equal(t, 3, n)
	require.ErrorIs(t, err, broken)
	n, err = client.Write([]byte("f"))
	require.Zero(t, n)
	require.ErrorIs(t, err, broken)
	client.FailWrite(0, nil)
	mustWrite(t, client, "f")
	mustRead(t, server, "abcdef")
}

func TestAddresses(t *testing.T) {
	client, server := Pipe()
	require.Equal(t, client.LocalAddr(), server.RemoteAddr())
	require.Equal(t, client.RemoteAddr(), server.LocalAddr())
	require.Same(t, server, client.Peer())
	host, port, err := net.SplitHostPort(client.RemoteAddr().String())
	require.NoError(t, err)
	require.Equal(t, "192.0.2.2 80", fmt.Sprint(host, " ", port))
}

func TestErrorsLookLikeThoseOfPackageNet(t *testing.T) {
	client, server := Pipe()
	server.Reset()
	err := readErr(t, client)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "read", op.Op)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Contains(t, err.Error(), "read tcp 192.0.2.1:40000->192.0.2.2:80: read: connection reset")
}
