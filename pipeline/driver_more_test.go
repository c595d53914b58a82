package pipeline

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
)

func more(j *job) { j.More = true }

func TestMoreHoldsACallForTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a", more)
		synctest.Wait()
		require.Empty(t, r.nc.(*memnet.Conn).WriteLog())
		b := r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		require.Len(t, r.nc.(*memnet.Conn).WriteLog(), 1)
		r.origin.Send(answerWith("A") + answerWith("B"))
		a.wantContent("A")
		b.wantContent("B")
		r.wantUsable()
	})
}

// A call that is held leaves when the one it was held for is refused.
func TestRefusedCallReleasesTheOneBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a", more)
		r.Retire()
		require.ErrorIs(t, r.job("GET", "/b").submit(), ErrRetired)
		r.origin.WantRequests("GET /a")
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		r.wantEnded()
	})
}
