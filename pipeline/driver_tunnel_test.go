package pipeline

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestTunnel(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.get("/chat", func(j *job) { j.Request.Extra = map[string][]string{"Upgrade": {"chat"}} })
		r.origin.WantRequests("GET /chat")
		r.origin.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhel")
		a.wantHead(101)
		require.False(t, r.Usable())
		r.origin.Send("lo")
		buf := make([]byte, 5)
		_, err := io.ReadFull(&a.Call, buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf))
		n, err := a.Write([]byte("GET /written HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		require.Equal(t, 34, n)
		r.origin.WantRequests("GET /written")
		r.origin.Conn(0).CloseWrite()
		for range 2 {
			_, err = a.Read(buf)
			require.Equal(t, io.EOF, err)
		}
		_, err = a.Write([]byte("GET /after-eof HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		r.wantEnded()
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, ErrConnectionClosed)
	})
}

func TestCloseEndsATunnelsRead(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.job("CONNECT", "example.com:443")
		require.NoError(t, a.submit())
		r.origin.WantRequests("CONNECT example.com:443")
		r.origin.Send("HTTP/1.1 200 OK\r\n\r\n")
		a.wantHead(200)
		read := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		a.awaitRead()
		a.Close()
		require.Equal(t, errBodyClosed, <-read)
		r.wantEnded()
	})
}
