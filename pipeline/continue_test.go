package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// expecting sends a request that waits for 100, and reads its head on the server's
// side.
func expecting(t *testing.T, c *Conn, server net.Conn, content string) (*http.Request, *bufio.Reader) {
	t.Helper()
	require.NoError(t, c.SendRequest(bg(), &Request{
		Method: "PUT", Target: "/up", ContentLength: int64(len(content)), ExpectContinue: true,
	}))
	br := bufio.NewReader(server)
	req, err := http.ReadRequest(br)
	require.NoError(t, err)
	require.Equal(t, "100-continue", req.Header.Get("Expect"))
	_, err = c.TryWrite([]byte(content))
	var state *StateError
	require.ErrorAs(t, err, &state, "content is held")
	require.Zero(t, br.Buffered())
	return req, br
}

func TestContinue(t *testing.T) {
	const content = "the content"
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		req, _ := expecting(t, c, server, content)
		send(t, server, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		wantReadable(t, c)
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.Equal(t, 100, resp.StatusCode)
		require.Equal(t, "/up", resp.Target)
		require.False(t, c.ResponseActive())
		_, err = io.WriteString(c, content)
		require.NoError(t, err)
		got, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		send(t, server, ok("done"))
		wantResponse(t, c, "/up", 200, "done")
	})
}

func TestContinueBehindOtherRequests(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		serving(t, server, func(_ *http.Request, content []byte) string { return ok(string(content)) })
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/a"}))
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/b", ContentLength: 2, ExpectContinue: true}))
		wantResponse(t, c, "/a", 200, "")
		resp, err := c.ReadResponse(bg())
		require.NoError(t, err)
		require.Equal(t, 100, resp.StatusCode)
		file := c.SendFile(strings.NewReader("hi"))
		for file.Next() {
			t.Fatal("nothing to read yet")
		}
		require.NoError(t, file.Err())
		wantResponse(t, c, "/b", 200, "hi")
	})
}

func TestFinalResponseInPlaceOfContinue(t *testing.T) {
	const content = "the content"
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		req, br := expecting(t, c, server, content)
		send(t, server, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
		wantResponse(t, c, "/up", 417, "no")
		require.False(t, c.Pending())
		// Its framing still announces content: nothing else can be sent.
		var state *StateError
		require.ErrorAs(t, c.SendRequest(bg(), &Request{Target: "/next"}), &state)
		_, err := io.WriteString(c, content)
		require.NoError(t, err)
		got, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/next"}))
		next, _ := readRequest(t, br)
		require.Equal(t, "/next", next.URL.Path)
	})
}

func TestContinueThatNeverComes(t *testing.T) {
	const content = "the content"
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		req, _ := expecting(t, c, server, content)
		_, err := c.ReadResponse(soon(t))
		require.Error(t, err)
		c.SkipContinue()
		_, err = io.WriteString(c, content)
		require.NoError(t, err)
		got, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		// A late 100 is an interim response like any other.
		send(t, server, "HTTP/1.1 100 Continue\r\n\r\n"+ok("late"))
		wantResponse(t, c, "/up", 200, "late")
	})
}

func TestExpectWithoutContent(t *testing.T) {
	c := NewConn(struct{ net.Conn }{discardConn{}}, nil)
	defer c.Close()
	var state *StateError
	require.ErrorAs(t, c.SendRequest(bg(), &Request{Target: "/", ExpectContinue: true}), &state)
	require.ErrorAs(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", Body: []byte("x"), ExpectContinue: true}), &state)
	require.False(t, c.Pending())
}
