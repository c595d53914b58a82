package httppipe_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// An announced end of an idle connection is heeded: it is used before, and not
// from a margin before that on; then it is closed.
func TestInterop13KeepAliveTimeout(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		answer := func(conn *pipetest.Conn, call *pipetest.Call) {
			conn.Send(reply(200, "x", "Keep-Alive: timeout=5"))
			call.WantContent("x")
		}
		a := client.Get("/a")
		conn := origin.Conn(0)
		answer(conn, a)
		for range 3 { // each answer begins the time anew
			time.Sleep(3900 * time.Millisecond)
			b := client.Post("/b", "x")
			origin.WantConns(1)
			answer(conn, b)
		}
		time.Sleep(4000 * time.Millisecond)
		c := client.Post("/c", "x")
		conn.WantClosed()
		second := origin.Conn(1)
		second.WantRequests("POST /c")
		answer(second, c)
		time.Sleep(5 * time.Second)
		second.WantClosed() // although nobody asks for it
	}, oneConn())
}

// A response that is read from the connection announces the same.
func TestInterop13KeepAliveOfStreamedResponse(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		a := client.Get("/a")
		conn := origin.Conn(0)
		conn.Send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=4, max=1\r\nContent-Length: 4\r\n\r\nhe")
		a.WantContentSoFar("he")
		time.Sleep(10 * time.Second) // it is not idle
		conn.Send("ad")
		a.WantContent("head")
		time.Sleep(2900 * time.Millisecond)
		b := client.Get("/b")
		conn.WantRequests("GET /a", "GET /b")
		conn.Send(okay("b"))
		b.WantContent("b")
		client.Get("/c")
		conn.WantClosed() // b was the one that was left
		origin.Conn(1).WantRequests("GET /c")
	}, oneConn())
}

// Nothing is sent beyond the number that was announced, neither behind others nor
// later.
func TestInterop04KeepAliveMax(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a := client.Get("/a")
		conn.Send(reply(200, "a", "Keep-Alive: timeout=60, max=3"))
		a.WantContent("a")
		conn.WantRequests("GET /a")
		var calls []*pipetest.Call
		for i := range 5 {
			calls = append(calls, client.Get(fmt.Sprint("/", i)))
		}
		conn.WantRequests("GET /0", "GET /1", "GET /2")
		for i := range 3 {
			conn.Send(reply(200, fmt.Sprint(i), fmt.Sprint("Keep-Alive: max=", 2-i)))
			calls[i].WantContent(fmt.Sprint(i))
		}
		conn.WantNoRequest()
		conn.WantClosed()
		answerByPath(origin, 1)
		calls[3].WantContent("3")
		calls[4].WantContent("4")
		require.Zero(t, client.Transport().(*httppipe.Transport).Stats().Replays)
	}, oneConn())
}

// A canceled request counts for the server, though nobody has got its answer.
func TestInterop04KeepAliveMaxCountsTheCanceled(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a := client.Get("/a")
		conn.Send(reply(200, "a", "Keep-Alive: max=2"))
		a.WantContent("a")
		b, c := client.Get("/b"), client.Get("/c")
		conn.WantRequests("GET /a", "GET /b", "GET /c")
		b.Cancel()
		b.WantError(context.Canceled)
		conn.Send(okay("b") + okay("c"))
		c.WantContent("c")
		client.Get("/d")
		conn.WantNoRequest()
		origin.Conn(1).WantRequests("GET /d")
	}, oneConn())
}

// A server whose number never falls means that for each connection in all, or means
// nothing: it is no limit.
func TestInterop04ConstantKeepAliveMax(t *testing.T) {
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		a.Header = http.Header{"Keep-Alive": {"timeout=5, max=100"}}
		return a
	}}
	inWorld(t, server, func(w *world) {
		for i := range 20 {
			w.getAll(fmt.Sprint("round", i, "-"), 40, time.Minute)
		}
		require.Equal(w.t, 1, w.net.Dials())
	}, oneConn())
}

// Servers close idle connections after some time, announced or not. A request that
// meets the end is answered by another connection, and one with an effect is sent
// once.
func TestInterop13IdleClose(t *testing.T) {
	const limit = 2 * time.Second
	for _, announce := range []bool{true, false} {
		for _, pause := range []time.Duration{limit / 4, limit - 3*time.Millisecond, limit + 3*time.Millisecond, 3 * limit} {
			t.Run(fmt.Sprint(announce, pause), func(t *testing.T) {
				server := &pipetest.Server{
					Plan: behaving(pipetest.Behaviour{IdleTimeout: limit}),
					Handler: func(x *pipetest.Exchange) pipetest.Answer {
						a := pipetest.AnswerContent(x)
						if announce {
							a.Header = http.Header{"Keep-Alive": {"timeout=2"}}
						}
						return a
					},
				}
				inWorld(t, server, func(w *world) {
					for i := range 10 {
						time.Sleep(pause)
						w.getAll(fmt.Sprint("get", i, "-"), 3, time.Second)
						time.Sleep(pause)
						_, err := w.fetch(context.Background(), "POST", fmt.Sprint("/post", i), "x")
						require.NoError(w.t, err)
					}
					require.Empty(w.t, server.Repeated())
					if announce {
						require.Zero(w.t, w.tr.Stats().Replays, "attempts on a connection that had ended")
					}
				}, oneConn())
			})
		}
	}
}
