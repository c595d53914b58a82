//go:build !race

// In a simulation one goroutine runs at a time, by the rules of a bubble, which the
// race detector takes for a race.

package httppipe

import (
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	simulated = flag.Duration("simulated", 0, "how long each workload of TestSimulation lasts, in virtual time (default: short)")
	tableFile = flag.String("simulationtable", "", "where TestSimulation writes its table")
)

// usualWithTail takes 1 ms at the median, and over 100 ms for one request in a
// hundred: two in a hundred take from 10 ms to 1 s.
var usualWithTail = mixed(lognormal(time.Millisecond, .5), logUniform(10*time.Millisecond, time.Second), 2)

// quickWithTail is what the benchmarks' origin takes: 100 ms for one request in a
// hundred.
var quickWithTail = mixed(lognormal(60*time.Microsecond, .3), always(100*time.Millisecond), 1)

const (
	far  = 50 * time.Millisecond
	near = 100 * time.Microsecond
)

// Each workload has bounds that httppipe keeps, in comparison with net/http's
// policy and the same requests.
var workloads = []struct {
	workload
	seconds int     // of virtual time, for the short form
	p99     float64 // at most, net/http's = 1; 0 where it lies between quick and slow ones
	dials   float64 // at most, net/http's = 1
	late    float64 // at most, of 1
	answers float64 // at least, net/http's = 1; 0: 0.97
}{
	{workload{name: "far, 1 ms, 1 % over 100 ms, 640/s", rtt: far, service: usualWithTail,
		rates: []float64{640, 640, 640, 640}, slow: 50 * time.Millisecond}, 30, 1.25, .4, .02, 0}, // nearly all in the beginning
	{workload{name: "the same, 10 to 160/s", rtt: far, service: usualWithTail,
		rates: []float64{10, 40, 160, 10, 40, 160}, slow: 100 * time.Millisecond}, 120, 1.25, .53, .02, 0},
	{workload{name: "the same, 100 origins, 20/s to each", rtt: far, service: usualWithTail,
		rates: slices.Repeat([]float64{20}, 100), slow: 100 * time.Millisecond}, 15, 1.25, .7, .02, 0},
	{workload{name: "the same, 8 connections to each", rtt: far, service: usualWithTail, limit: 8,
		rates: []float64{10, 40, 160, 10, 40, 160}}, 20, .5, 1.6, .04, 0}, // net/http waits for connections where ours has them dialed
	{workload{name: "the same, 2 connections, behind a near proxy, 64 callers", rtt: far, dial: near, service: lognormal(time.Millisecond/10, .3), limit: 2,
		callers: 64}, 20, .05, 1.2, .001, 0},
	{workload{name: "far, 1 ms, 6 % 1 s, 75/s, 8 connections", rtt: far, limit: 8,
		service: mixed(lognormal(time.Millisecond, .5), always(time.Second), 6), rates: []float64{75}}, 60, 1, 1.2, .9, 0},
	{workload{name: "far, lognormal, 1 % over 100 ms", rtt: far, service: lognormal(time.Millisecond, 1.98),
		rates: []float64{10, 40, 160, 640, 10, 40, 160, 640}, slow: 8 * time.Millisecond}, 15, 1.35, 1.1, .05, 0},
	{workload{name: "far, slow handlers (200 ms)", rtt: far, service: lognormal(200*time.Millisecond, .5),
		rates: []float64{10, 40, 160, 10, 40, 160}}, 50, 1.05, 1.2, .01, 0},
	{workload{name: "near, 2000/s, 1 % 100 ms, 8 connections", rtt: near, service: quickWithTail, limit: 8,
		rates: []float64{2000}}, 10, 0, 1.2, .001, 0},
	{workload{name: "near, 64 callers, 1 % 100 ms, 8 connections", rtt: near, service: quickWithTail, limit: 8,
		callers: 64}, 5, 1.15, 1.2, .01, 0},
	{workload{name: "near, 14000/s, 20 µs, one in 400 50 ms, 4 connections", rtt: near, limit: 4,
		service: rarely(lognormal(20*time.Microsecond, .3), always(50*time.Millisecond), 400), rates: []float64{14000}}, 10, .95, 1.2, .02, 0},
	{workload{name: "near, 256 callers, 20 µs, one in 1000 10 ms, 4 connections", rtt: near, limit: 4,
		service: rarely(lognormal(20*time.Microsecond, .3), always(10*time.Millisecond), 1000), callers: 256}, 3, 1.2, 1.2, 0, 3},
	{workload{name: "near, 64 callers, 2 ms", rtt: near, service: lognormal(2*time.Millisecond, .3),
		callers: 64}, 3, 1.05, 1.1, 0, 0},
	{workload{name: "near, 64 callers, 300 µs", rtt: near, service: lognormal(300*time.Microsecond, .3),
		callers: 64}, 3, 1.05, 1.1, 0, 0},
	{workload{name: "near, 64 callers, 15 µs of one thread", rtt: near, service: lognormal(15*time.Microsecond, .3), single: true,
		callers: 64}, 3, 1.05, 1.1, 0, 0},
	{workload{name: "near, 64 callers, 100 µs, after 1 s of 4 callers, 15 µs", rtt: near, service: lognormal(100*time.Microsecond, .3),
		callers: 64, calm: 4, before: lognormal(15*time.Microsecond, .3)}, 3, 1.1, 1.1, 0, 0},
	{workload{name: "near, 64 callers, 20 µs, 10 % 1 ms", rtt: near,
		service: mixed(lognormal(20*time.Microsecond, .3), lognormal(time.Millisecond, .3), 10), callers: 64}, 3, 1.3, 1.1, .001, .9},
	{workload{name: "near, 256 callers, 20 µs, 3 % 100 ms", rtt: near,
		service: mixed(lognormal(20*time.Microsecond, .3), always(100*time.Millisecond), 3), callers: 256}, 3, 1.1, 1.2, .005, .7},
	{workload{name: "near, 2400/s, 20 µs, 17 % 50 ms", rtt: near,
		service: mixed(lognormal(20*time.Microsecond, .3), lognormal(50*time.Millisecond, .3), 17), rates: []float64{2400}}, 5, 1.1, 1.1, .01, 0},
}

// What the scheduler makes of requests, in comparison with what net/http does with
// the same ones: see docs/scheduling.md, whose table this test writes when it is
// told to.
func TestSimulation(t *testing.T) {
	var table io.Writer = io.Discard
	if *tableFile != "" {
		f, err := os.Create(*tableFile)
		require.NoError(t, err)
		defer f.Close()
		table = f
	}
	fmt.Fprintln(table, "| workload | policy | requests | p50 ms | p90 ms | p99 ms | p99.9 ms | 50 ms late | dials | most connections | sent twice |")
	fmt.Fprintln(table, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			if testing.Short() && w.rtt == near {
				t.Skip("a second or more for each of virtual time")
			}
			long := time.Duration(w.seconds) * time.Second
			if *simulated > 0 {
				long = *simulated
			}
			if w.callers > 0 {
				long = min(long, time.Minute) // they ask as fast as they can
			}
			theirs, ours := w.plain(1, long), w.simulate(t, 1, long)
			theirs.row(table, w.name, "net/http")
			ours.row(table, "", "httppipe")
			if w.slow > 0 {
				least := w.clairvoyant(1, long, w.slow)
				least.row(table, "", "clairvoyant")
				require.LessOrEqual(t, least.quantile(.99).Seconds(), 1.25*theirs.quantile(.99).Seconds())
				require.LessOrEqual(t, float64(ours.peak), .7*float64(theirs.peak))
				require.LessOrEqual(t, ours.dials-ours.begun, 2+2*(least.dials-least.begun))
			}
			require.GreaterOrEqual(t, float64(ours.requests), cmp.Or(w.answers, .97)*float64(theirs.requests))
			if w.p99 > 0 {
				require.LessOrEqual(t, ours.quantile(.99).Seconds(), w.p99*theirs.quantile(.99).Seconds())
			}
			require.LessOrEqual(t, float64(ours.dials), w.dials*float64(theirs.dials)+1)
			require.LessOrEqual(t, float64(ours.dials-ours.begun), w.dials*float64(theirs.dials-theirs.begun)+3)
			require.LessOrEqual(t, ours.lateShare(), w.late)
			require.LessOrEqual(t, ours.twice(), .05)
		})
	}
}

func (o *outcome) row(w io.Writer, workload, policy string) {
	ms := func(q float64) float64 { return float64(o.quantile(q)) / 1e6 }
	fmt.Fprintf(w, "| %s | %s | %d | %.4g | %.4g | %.4g | %.4g | %.2f %% | %d | %d | %.1f %% |\n", workload, policy,
		o.requests, ms(.5), ms(.9), ms(.99), ms(.999), 100*o.lateShare(), o.dials, o.peak, 100*o.twice())
}

// A simulation has no other source of chance than its seed.
func TestSimulationReplays(t *testing.T) {
	w := workloads[0]
	run := func(seed uint64) string {
		o := w.simulate(t, seed, 5*time.Second)
		return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, o)))
	}
	first := run(7)
	require.Equal(t, first, run(7))
	require.NotEqual(t, first, run(8))
}
