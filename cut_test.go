package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// What had been sent behind a large response that was closed early used to be sent again
// each time, and up to four times: the origin got several times the requests.
func TestFewAreSentBehindWhatIsClosedEarly(t *testing.T) {
	const rounds = 200                  // of 16 callers
	for _, limit := range []int{0, 4} { // with as few there is no elsewhere
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(2 * time.Millisecond)}, func(w *world) {
				w.tr.MaxConnsPerHost = limit
				closeEarly := func(j int) {
					req, _ := http.NewRequest("GET", fmt.Sprintf("http://origin.test/large/%d?n=1048576", j), nil)
					resp, err := w.rt.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					io.CopyN(io.Discard, resp.Body, 1000)
					resp.Body.Close()
				}
				for learnt := range 3 {
					before, began := w.tr.Stats().Replays, time.Now()
					var callers sync.WaitGroup
					callers.Go(func() {
						for j := range rounds {
							closeEarly(j)
						}
					})
					for i := range 15 {
						callers.Go(func() {
							for j := range rounds {
								if _, err := w.get(context.Background(), fmt.Sprintf("/%d/%d", i, j)); err != nil {
									t.Error(err)
								}
							}
						})
					}
					callers.Wait()
					if learnt > 0 {
						if limit == 0 {
							require.Less(t, w.tr.Stats().Replays-before, int64(200), "of 3200; 690 to 906 without")
						}
						bound := map[int]time.Duration{0: 1700 * time.Millisecond, 4: 2300 * time.Millisecond}[limit]
						require.Less(t, time.Since(began), bound, "nobody waits for a place behind others that there will not be")
					}
				}
			})
		})
	}
}
