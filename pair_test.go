package httppipe_test

import (
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// The first of a pair, canceled in the moment in which it gets the connection,
// used to leave the second waiting for ever to be submitted.
func TestSecondOfPairIsServedWhenFirstIsCanceled(t *testing.T) {
	for range 200 { // which of the two comes first is a race
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			a := client.Get("/a")
			conn := origin.Conn(0)
			conn.WantRequests("GET /a")
			b, c := client.Get("/b"), client.Get("/c")
			go b.Cancel()
			conn.Send(okay("a"))
			a.WantContent("a")
			time.Sleep(2 * time.Millisecond) // for another to go along with /c, if /b does not
			synctest.Wait()
			for _, r := range conn.Requests()[1:] {
				conn.Send(okay(r.Target[1:]))
			}
			c.WantContent("c")
		}, oneConn())
	}
}

// Two that got places on a connection in one order, and submitted their requests in
// the other: when the one that was sent first had its answer, nobody remembered that
// the other had company, and a server that is silent for that reason was waited for
// for ever.
func TestSilenceAfterOvertakingIsNoticed(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a, b := overtaken(conn, client)
		conn.Send(okay("second"))
		b.WantContent("second")
		time.Sleep(time.Minute)
		conn.WantClosed()
		again := origin.Conn(1)
		again.WantRequests("GET /first")
		again.Send(okay("first"))
		a.WantContent("first")
	}, oneConn())
}

// The one that was overtaken was taken for the head, and its silence for the peer's:
// the connection was closed in the middle of the other's content.
func TestContentOfWhoOvertookIsNotCutShort(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a, b := overtaken(conn, client)
		conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 1500000\r\n\r\n")
		for range 300 {
			conn.Send(strings.Repeat("x", 5000))
			time.Sleep(40 * time.Millisecond)
		}
		conn.WantOpen()
		conn.Send(okay("first"))
		b.WantContent(strings.Repeat("x", 1_500_000))
		a.WantContent("first")
	}, oneConn())
}

// overtaken has two requests submitted in another order than they got their places
// on conn in: "/first" is sent after "/second".
func overtaken(conn *pipetest.Conn, client *pipetest.Client) (first, second *pipetest.Call) {
	gate := make(chan struct{})
	req := client.NewRequest("GET", "/first", nil)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { <-gate }}
	first = client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	second = client.Get("/second")
	conn.WantRequests("GET /second")
	close(gate)
	conn.WantRequests("GET /first")
	return first, second
}
