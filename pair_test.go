package httppipe_test

import (
	"testing"
	"testing/synctest"

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
			synctest.Wait()
			for _, r := range conn.Requests()[1:] {
				conn.Send(okay(r.Target[1:]))
			}
			c.WantContent("c")
		}, oneConn())
	}
}
