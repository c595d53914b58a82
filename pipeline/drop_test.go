package pipeline

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// A connection on which only withdrawn requests were left used to be closed after a
// second, because nobody read their answers.
func TestWithdrawnAnswersAreDropped(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		require.True(t, r.Withdraw(&b.Call, ErrStalled))
		require.True(t, r.Withdraw(&c.Call, ErrStalled))
		r.Drop() // a's caller reads
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
		a.wantContent("a")
		r.Drop() // nothing has arrived
		require.Zero(t, r.timesLeft(b))
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		r.eventually(func() bool { r.Drop(); return r.timesLeft(b) == 1 }, "b has left")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nc")
		if r.origin.Network != nil {
			synctest.Wait()
		}
		r.Drop() // half of it
		require.Zero(t, r.timesLeft(c))
		r.origin.Send("c")
		r.eventually(func() bool { r.Drop(); return r.timesLeft(c) == 1 }, "c has left")
		r.wantUsable()
	})
}
