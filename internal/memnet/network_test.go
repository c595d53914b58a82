package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

// TestConnAsNetConn runs the conformance tests of x/net for a net.Conn.
func TestConnAsNetConn(t *testing.T) {
	for name, opts := range map[string][]Option{
		"plain":   nil,
		"latency": {Latency(100 * time.Microsecond), Buffer(1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				client, server := Pipe(opts...)
				return client, server, func() { client.Close(); server.Close() }, nil
			})
		})
	}
}

func listen(t *testing.T, n *Network, addr string) *Listener {
	t.Helper()
	ln, err := n.Listen(addr)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dial(t *testing.T, n *Network, addr string) *Conn {
	t.Helper()
	c, err := n.DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	return c.(*Conn)
}

func TestDialReachesTheListener(t *testing.T) {
	n := New(LogWrites())
	a, b := listen(t, n, "a.test:80"), listen(t, n, "b.test:80")
	toB, toA := dial(t, n, "b.test:80"), dial(t, n, "a.test:80")
	atA, err := a.AcceptConn()
	require.NoError(t, err)
	atB, err := b.Accept()
	require.NoError(t, err)
	mustWrite(t, toA, "A")
	mustWrite(t, toB, "B")
	mustRead(t, atA, "A")
	mustRead(t, atB, "B")
	require.Equal(t, "a.test:80", toA.RemoteAddr().String())
	require.NotEqual(t, toA.LocalAddr(), toB.LocalAddr())

	require.Equal(t, 2, n.Dials())
	require.Equal(t, []*Conn{toB, toA}, n.Conns())
	require.Equal(t, []*Conn{toB, toA}, n.Open())
	require.NoError(t, toB.Close())
	require.Equal(t, []*Conn{toA}, n.Open())
	require.False(t, n.AllClosed())
	require.NoError(t, toA.Reset())
	require.True(t, n.AllClosed())
}

func TestDialFailures(t *testing.T) {
	n := New()
	ln := listen(t, n, "a.test:80")
	refused := func(addr string) {
		t.Helper()
		c, err := n.DialContext(t.Context(), "tcp", addr)
		require.Nil(t, c)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "dial", op.Op)
	}
	refused("nobody.test:80")
	n.RefuseDials(true)
	refused("a.test:80")
	n.RefuseDials(false)
	dial(t, n, "a.test:80")
	broken := errors.New("broken")
	n.FailDial(5, broken)
	dial(t, n, "a.test:80")
	_, err := n.DialContext(t.Context(), "tcp", "a.test:80")
	require.ErrorIs(t, err, broken)
	last := n.Attempts()[4]
	require.True(t, last.Done && last.Conn == nil)
	require.ErrorIs(t, last.Err, broken)
	dial(t, n, "a.test:80")
	n.OnDial(func(_ context.Context, nth int, addr string) error {
		require.Equal(t, "7 a.test:80", string(rune('0'+nth))+" "+addr)
		return broken
	})
	_, err = n.DialContext(t.Context(), "tcp", "a.test:80")
	require.ErrorIs(t, err, broken)
	n.OnDial(nil)
	require.NoError(t, ln.Close())
	refused("a.test:80")
	require.ErrorIs(t, ln.Close(), net.ErrClosed)
	listen(t, n, "a.test:80")
	_, err = n.Listen("a.test:80")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestDialTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Latency(25 * time.Millisecond))
		listen(t, n, "a.test:80")
		start := time.Now()
		dial(t, n, "a.test:80")
		require.Equal(t, 50*time.Millisecond, time.Since(start))
		n.DelayDials(time.Second)
		dial(t, n, "a.test:80")
		require.Equal(t, 1100*time.Millisecond, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := n.DialContext(ctx, "tcp", "a.test:80")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1600*time.Millisecond, time.Since(start))
	})
}

func TestListenerCloseWakesAcceptAndResetsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		ln := listen(t, n, "a.test:80")
		waiting := dial(t, n, "a.test:80")
		_, err := ln.Accept()
		require.NoError(t, err)
		lost := dial(t, n, "a.test:80")
		require.NoError(t, ln.Close())
		require.ErrorIs(t, readErr(t, lost), syscall.ECONNRESET)
		read := readInBackground(waiting)
		pending(t, read)
		waiting.Close()
		<-read

		other := listen(t, n, "b.test:80")
		failed := make(chan error, 1)
		go func() { _, err := other.Accept(); failed <- err }()
		pending(t, failed)
		require.NoError(t, other.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
	})
}

// TestNetHTTP has net/http talk to itself in virtual time.
func TestNetHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Latency(25 * time.Millisecond))
		server := &http.Server{Handler: http.NotFoundHandler()}
		go server.Serve(listen(t, n, "a.test:80"))
		defer server.Close()
		transport := &http.Transport{DialContext: n.DialContext}
		client := &http.Client{Transport: transport}
		start := time.Now()
		for range 2 {
			resp, err := client.Get("http://a.test/")
			require.NoError(t, err)
			require.Equal(t, 404, resp.StatusCode)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
		}
		// One round trip to connect, one for each request. The body came
		// with its head, so that the connection was used again.
		require.Equal(t, 150*time.Millisecond, time.Since(start).Truncate(time.Microsecond))
		require.Equal(t, 1, n.Dials())
		transport.CloseIdleConnections()
		synctest.Wait()
		require.True(t, n.AllClosed())
	})
}
