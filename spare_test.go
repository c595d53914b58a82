package httppipe_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// A connection that was dialed for a request which then found another used to count as new
// when it was used at last: if its server had closed it meanwhile, whoever got it failed,
// even though nothing was sent.
func TestSpareConnectionThatWasClosedFailsNobody(t *testing.T) {
	const idle = 100 * time.Millisecond
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			server := &pipetest.Server{Plan: func(int) pipetest.Behaviour { return pipetest.Behaviour{IdleTimeout: idle} }}
			inWorld(t, server, func(w *world) {
				w.net.OnDial(func(_ context.Context, index int, _ string) error {
					if index == 2 {
						time.Sleep(20 * time.Millisecond)
					}
					return nil
				})
				w.getAll("two", 2, time.Second)
				time.Sleep(40 * time.Millisecond)
				require.Equal(t, 2, w.tr.Stats().Idle)
				time.Sleep(idle) // less than after which the Transport looks by itself
				content := ""
				if method == "POST" {
					content = "content"
				}
				_, err := w.fetch(context.Background(), method, sized("one", 5), content)
				require.NoError(t, err)
				require.Equal(t, 3, w.net.Dials())
			})
		})
	}
}
