package httppipe_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A few requests to an origin far away that was never asked used to wait for each other:
// three or four round trips, where net/http takes two.
func TestFewRequestsToNewOriginTakeTwoRoundTrips(t *testing.T) {
	const rtt = 50 * time.Millisecond
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				began := time.Now()
				w.getAll("few", n, time.Second)
				require.Less(t, time.Since(began), 2*rtt+rtt/4)
			})
		})
	}
}

// Each caller that had got a connection while nothing was known used to stay on it, for
// as long as there was no moment in which two waited for one.
func TestCallersFarAwayComeToShare(t *testing.T) {
	inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(25 * time.Millisecond)}, func(w *world) {
		w.tr.MaxIdleConnsPerHost = 100
		var callers sync.WaitGroup
		for i := range 6 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for j := range 20 {
					if _, err := w.get(context.Background(), fmt.Sprintf("/%d/%d", i, j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(900 * time.Millisecond)
		require.Greater(t, w.tr.Stats().Deepest, 3)
		callers.Wait()
	})
}

// Who is alone, or beside others who get no answer, must not wait for a partner each
// time.
func TestLoneCallerIsNotHeldUp(t *testing.T) {
	const rtt, n = 100 * time.Microsecond, 500
	handler := func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		if x.Request.URL.Path == "/slow" {
			a.Delay = 2 * time.Second
		}
		return a
	}
	for _, others := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{Handler: handler}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				w.getAll("before", 300, time.Second) // one connection, at least, is proved, and rescues are paid for
				var group sync.WaitGroup
				for range others {
					group.Go(func() { w.get(context.Background(), "/slow") })
				}
				time.Sleep(time.Second)
				began := time.Now()
				for range n {
					if _, err := w.get(context.Background(), "/quick"); err != nil {
						t.Error(err)
					}
				}
				took := time.Since(began)
				group.Wait()
				require.Less(t, took, n*rtt*5/4)
			})
		})
	}
}
