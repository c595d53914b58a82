package pipeline

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// An answer that somebody waited for was not found, also if half of its head came first.
func TestWhoWaitsDoesNotFind(t *testing.T) {
	sockets := pipetest.Net(memnet.Sockets())
	for name, opts := range map[string][]pipetest.Option{
		"plain": nil, "tls": {pipetest.TLS()}, "socket": {sockets}, "socket with tls": {sockets, pipetest.TLS()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, opts...)
				for _, length := range []int{10, 6000, 20_000} {
					a := r.get("/a")
					r.origin.WantRequests("GET /a")
					synctest.Wait() // its caller reads
					r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: " + strings.Repeat("x", length) + "\r\n\r\nA")
					a.wantContent("A")
					require.False(t, a.Found, length)
				}
			})
		})
	}
}

// What was there before its caller came to read it was found.
func TestFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
		a.wantHead(200)
		r.origin.Send(strings.Repeat("x", 20_000) + answerWith("B"))
		synctest.Wait()
		a.wantContent(strings.Repeat("x", 20_000))
		b.wantContent("B")
		require.False(t, a.Found)
		require.True(t, b.Found)
	})
}
