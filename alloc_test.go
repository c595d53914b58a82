package httppipe_test

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
)

// TestRoundTripAllocates keeps the number of allocations for each request: it is the
// part of its cost that does not depend on the machine. Of them are the response's
// header with its strings, and what the caller keeps.
func TestRoundTripAllocates(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	for _, test := range []struct {
		callers int
		most    float64
	}{
		{1, 6},
		{64, 7}, // garbage collection empties pools meanwhile
	} {
		for _, network := range benchNets {
			if network.far {
				continue // the simulated distance allocates
			}
			// More connections would come about on a busy machine.
			tr := &httppipe.Transport{DialContext: network.dial(t), DisableCompression: true, MaxConnsPerHost: 2}
			defer tr.CloseIdleConnections()
			callers := benchCallers(tr, test.callers)
			callAll(t, callers, 100*test.callers)
			const requests = 2000
			got := math.Inf(1)
			for range 3 { // what disturbs can only add some
				got = min(got, allocationsPer(requests, func(n int) { callAll(t, callers, n) }))
			}
			starting := float64(10+3*test.callers) / requests // goroutines
			require.LessOrEqual(t, got, test.most+starting, "%s, %d callers", network.name, test.callers)
		}
	}
}

// allocationsPer is the number of allocations in the whole process while f(n) runs,
// divided by n.
func allocationsPer(n int, f func(n int)) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}
