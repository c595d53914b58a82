package pipeline

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// exchanges are requests, and answers that end in all the ways there are.
var exchanges = []struct {
	method  string
	answer  string
	status  int
	content string
}{
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, ""},
	{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
	{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, ""},
	{"GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Gone Away\r\nContent-Length: 0\r\n\r\n", 404, ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Sum: 42\r\n\r\n", 200, "hello"},
	{"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold", 200, "old"},
	{"GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end"},
}

// Every split of the octets of all of them, one behind the other, makes the same
// responses. The link is a pump, which yields what one Write brought.
func TestEverySplitOfResponses(t *testing.T) {
	var octets strings.Builder
	for _, x := range exchanges {
		octets.WriteString(x.answer)
	}
	pipetest.EverySplit(octets.String(), func(reads []string) {
		client, server := memnet.Pipe()
		c := NewConn(client, &Options{Host: "origin.test"})
		defer c.Close()
		go io.Copy(io.Discard, server)
		for i, x := range exchanges {
			require.NoError(t, c.SendRequest(bg(), &Request{Method: x.method, Target: fmt.Sprint("/", i)}))
		}
		go func() {
			for _, read := range reads {
				io.WriteString(server, read)
			}
			server.CloseWrite()
		}()
		wantExchanges(t, c)
	})
}

func wantExchanges(t *testing.T, c *Conn) {
	t.Helper()
	for i, x := range exchanges {
		resp := wantResponse(t, c, fmt.Sprint("/", i), x.status, x.content)
		require.Equal(t, x.method, resp.Method)
		if strings.Contains(x.answer, "X-Sum") {
			require.Equal(t, "42", c.Trailer().Get("X-Sum"))
		} else {
			require.Nil(t, c.Trailer())
		}
	}
	require.False(t, c.Pending())
}

func TestResponsesInOrder(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		n := 0
		serving(t, server, func(*http.Request, []byte) string {
			if n++; n == len(exchanges) {
				defer server.Close()
				io.WriteString(server, exchanges[n-1].answer)
				return ""
			}
			return exchanges[n-1].answer
		})
		for i, x := range exchanges {
			require.NoError(t, c.SendRequest(bg(), &Request{Method: x.method, Target: fmt.Sprint("/", i)}))
		}
		wantExchanges(t, c)
	})
}

// answered sends a request and has the server answer with octets and end.
func answered(t *testing.T, c *Conn, server net.Conn, octets string) {
	t.Helper()
	require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
	p := make([]byte, 1000)
	_, err := server.Read(p)
	require.NoError(t, err)
	send(t, server, octets)
	require.NoError(t, server.Close())
}

func TestConnectionThatEndsTooEarly(t *testing.T) {
	for _, octets := range []string{
		"",
		"HTTP/1.1 2",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			answered(t, c, server, octets)
			for range 2 {
				_, err := c.ReadResponse(bg())
				require.ErrorIs(t, err, ErrConnectionClosed)
				require.True(t, IsTemporary(err))
			}
			require.ErrorIs(t, c.SendRequest(bg(), &Request{Target: "/"}), ErrConnectionClosed)
		})
	}
}

func TestContentThatEndsTooEarly(t *testing.T) {
	for _, octets := range []string{
		"Content-Length: 5\r\n\r\nhell",
		"Content-Length: 100000\r\n\r\nhell",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhell",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
	} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			answered(t, c, server, "HTTP/1.1 200 OK\r\n"+octets)
			_, err := c.ReadResponse(bg())
			require.NoError(t, err)
			got, err := io.ReadAll(c)
			require.Equal(t, "hell", string(got))
			for range 2 { // and again: a short body is never taken for a complete one
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.ErrorIs(t, err, ErrConnectionClosed)
				_, err = c.Read(make([]byte, 10000))
			}
		})
	}
}

func TestResetInContent(t *testing.T) {
	client, server := pipetest.TCPPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	require.NoError(t, c.SendRequest(bg(), &Request{Target: "/", Host: "h"}))
	send(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
	_, err := c.ReadResponse(bg())
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 4))
	require.NoError(t, err)
	require.NoError(t, pipetest.ResetTCP(server))
	_, err = c.Read(make([]byte, 4))
	require.ErrorIs(t, err, ErrConnectionClosed)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestInvalidResponses(t *testing.T) {
	for _, octets := range []string{
		"HELLO\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			answered(t, c, server, octets)
			wantReadable(t, c)
			_, err := c.ReadResponse(bg())
			var invalid *InvalidResponseError
			require.ErrorAs(t, err, &invalid)
			require.NotErrorIs(t, err, ErrUnsupportedResponse)
			require.Error(t, c.SendRequest(bg(), &Request{Target: "/"}))
		})
	}
}

func TestUnsupportedResponse(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		answered(t, c, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n")
		_, err := c.ReadResponse(bg())
		require.ErrorIs(t, err, ErrUnsupportedResponse)
	})
}

func TestNothingIsReadBehindClose(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/a"}))
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/b"}))
		send(t, server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nA"+ok("B"))
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.Equal(t, "/a", resp.Target)
		require.ErrorIs(t, c.SendRequest(bg(), &Request{Target: "/c"}), ErrConnectionClosed)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "A", string(got))
		wantReadable(t, c)
		_, err = c.ReadResponse(bg())
		require.ErrorIs(t, err, ErrConnectionClosed)
	})
}

func TestNothingIsSentBehindClose(t *testing.T) {
	for _, req := range []*Request{
		{Target: "/", Close: true},
		{Target: "/", Header: http.Header{"Connection": {"x, close"}}},
	} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			got := record(t, server)
			require.NoError(t, c.SendRequest(bg(), req))
			require.ErrorIs(t, c.SendRequest(bg(), &Request{Target: "/"}), ErrConnectionClosed)
			wantResponse(t, c, "/", 204, "")
			require.True(t, (<-got).req.Close)
		})
	}
}

// On Linux the failed write takes the reset, and the read sees a clean end.
func TestNoContentUntilCloseAfterFailedWrite(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 64 << 20}))
		send(t, server, "HTTP/1.1 200 OK\r\n\r\nhalf of the")
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.EqualValues(t, -1, resp.ContentLength)
		got := make([]byte, 11)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		// Unread octets reset the connection.
		_, err = c.TryWrite(make([]byte, 100))
		require.NoError(t, err)
		server.Close()
		for err == nil {
			_, err = c.Write(make([]byte, 1<<20))
		}
		require.ErrorIs(t, err, ErrConnectionClosed)
		_, err = io.ReadAll(c)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// A write that merely waits for room proves nothing against a clean end.
func TestContentUntilCloseInMidUpload(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, true)
			c := NewConn(client, &Options{Host: "h"})
			defer c.Close()
			up := c.Send(&Request{Method: "PUT", Target: "/", Body: make([]byte, 8<<20)})
			require.Equal(t, SendWouldBlock, up.Step())
			send(t, server, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
			require.NoError(t, server.(interface{ CloseWrite() error }).CloseWrite())
			wantResponse(t, c, "/", 200, "all of it")
		})
	}
}

func TestErrorsSayTheSame(t *testing.T) {
	for _, err := range []error{
		&ConnectionError{io.EOF},
		fmt.Errorf("outer: %w", &ConnectionError{net.ErrClosed}),
	} {
		require.ErrorIs(t, err, ErrConnectionClosed)
	}
	require.False(t, errors.Is(&StateError{"a", "b"}, ErrConnectionClosed))
}
