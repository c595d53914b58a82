package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// vouchedFor returns a request that shares connections by choice.
func vouchedFor(client *pipetest.Client, method string) *http.Request {
	req := client.NewRequest(method, "/x", strings.NewReader("x"))
	return req.WithContext(httppipe.WithPipelining(req.Context(), httppipe.Pipeline))
}

// eachVouched runs f for requests that may be sent again when their connection has
// ended, and for those that may not.
func eachVouched(t *testing.T, f func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, method string)) {
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		t.Run(method, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				f(t, origin, client, method)
			})
		})
	}
}

const headOf1MiB = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"

// A request that is not safe, and behind a response that nobody reads, used to fail
// after 50 ms.
func TestVouchedRequestBehindAnUnreadResponse(t *testing.T) {
	eachVouched(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, method string) {
		conn := provenFirst(origin, client)
		a := client.DoUnread(client.NewRequest("GET", "/a", nil))
		x, b := client.Do(vouchedFor(client, method)), client.Get("/b")
		conn.WantRequests("GET /a", method+" /x", "GET /b")
		content := strings.Repeat("a", 1<<20)
		conn.Send(headOf1MiB + content + okay("x") + okay("b"))
		a.WantStatus(200)
		time.Sleep(time.Second)
		second := origin.Conn(2)
		second.WantRequests("GET /b") // it is safe
		second.Send(okay("b"))
		b.WantContent("b")
		x.WantContent("x")
		a.Resume()
		a.WantContent(content)
		conn.WantClosed()
		for _, r := range origin.Requests() {
			require.False(t, r.Method == method && r.Conn > 0, "it was sent again")
		}
	})
}

// Who holds a response, and waits for a request that cannot be sent again, gets that
// elsewhere: it is not sent behind what may never be read.
func TestVouchedRequestIsNotSentBehindContent(t *testing.T) {
	eachVouched(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, method string) {
		conn := provenFirst(origin, client)
		a := client.DoUnread(client.NewRequest("GET", "/a", nil))
		conn.WantRequests("GET /a")
		conn.Send(headOf1MiB)
		a.WantStatus(200)
		x := client.Do(vouchedFor(client, method))
		time.Sleep(100 * time.Millisecond)
		conn.WantNoRequest()
		second := origin.Conn(2)
		second.WantRequests(method + " /x")
		second.Send(okay("x"))
		x.WantContent("x")
		conn.Send(strings.Repeat("a", 1<<20))
		a.Resume()
		a.WantContent(strings.Repeat("a", 1<<20))
	})
}

// Content that is read on, however slowly, fails nobody: those behind it wait.
func TestVouchedRequestBehindASlowReader(t *testing.T) {
	const size, step = 40 << 20, 4 << 20 // more than may lie in memory
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		a.Delay = time.Millisecond
		return a
	}}
	inWorld(t, server, func(w *world) {
		for range 3 {
			w.getAll("prove", 10, time.Minute)
		}
		req, err := http.NewRequest("GET", worldURL+sized("large", size), nil)
		require.NoError(w.t, err)
		done := make(chan error)
		go func() {
			for w.tr.Stats().InFlight == 0 {
				time.Sleep(time.Microsecond)
			}
			time.Sleep(time.Microsecond) // it has its place, and now is sent too
			ctx := httppipe.WithPipelining(context.Background(), httppipe.Pipeline)
			_, err := w.fetch(ctx, "POST", "/post", "x")
			done <- err
		}()
		resp, err := w.rt.RoundTrip(req)
		require.NoError(w.t, err)
		require.Equal(w.t, 2, w.tr.Stats().InFlight)
		for range size / step {
			time.Sleep(10 * time.Second)
			_, err := io.CopyN(io.Discard, resp.Body, step)
			require.NoError(w.t, err)
		}
		resp.Body.Close()
		require.NoError(w.t, <-done)
		require.Equal(w.t, 1, server.Times("POST", "/post"), fmt.Sprint(server.Conns()))
	}, oneConn())
}
