package httppipe

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Places without connections are forgotten when there are many, the one that was asked for
// last included; who comes back gets another.
func TestPlacesAreForgotten(t *testing.T) {
	tr := new(Transport)
	key := func(i int) routeKey { return routeKey{scheme: "http", addr: fmt.Sprint("origin", i, ":80")} }
	const n = 100
	for i := range n {
		tr.place(key(i)).mu.Unlock()
	}
	last := tr.place(key(n - 1))
	last.mu.Unlock()
	require.Same(t, last, tr.pool.latest.Load())
	tr.pool.forgetPlaces(n)
	require.Empty(t, tr.pool.places)
	again := tr.place(key(n - 1))
	again.mu.Unlock()
	require.NotSame(t, last, again)
	require.Same(t, again, tr.pool.places[key(n-1)])
}
