package httppipe

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A workload is what a simulation asks of origins that handle one request at a time
// on each connection, and any number of connections, unless one thread handles all.
type workload struct {
	name    string
	rtt     time.Duration
	dial    time.Duration // 0: as long as rtt; else something near the client accepts connections
	service service
	rates   []float64 // requests/s to each origin, at random times
	callers int       // in place of rates: so many, each with one request at a time
	limit   int       // connections per origin; 0 for no limit
	single  bool      // an origin handles one request at a time altogether
	calm    int       // so many of the callers begin at once, the others after calmTime
	before  service   // until then, if there are such

	// slow is the longest that an answer may take if it is to share a connection with
	// others, for clairvoyant: the most with which p99 stays within 1.25 of net/http's.
	// 0: not compared with that.
	slow time.Duration
}

// dialTime is how long a connection takes.
func (w *workload) dialTime() time.Duration {
	if w.dial > 0 {
		return w.dial
	}
	return w.rtt
}

// A service draws how long an origin takes for a request.
type service func(*rand.Rand) time.Duration

const calmTime = time.Second

// begins is when the i-th caller does.
func (w *workload) begins(i int) time.Duration {
	if w.calm > 0 && i >= w.calm {
		return calmTime
	}
	return 0
}

// draw draws a service at that time, since the beginning.
func (w *workload) draw(rng *rand.Rand, at time.Duration) time.Duration {
	if w.calm > 0 && at < calmTime {
		return w.before(rng)
	}
	return w.service(rng)
}

// A server handles one request at a time, in the order in which they arrive.
type server struct{ free time.Duration } // when it has handled all of them, since the beginning

// handle returns when a request that takes service, and arrives at that time, has been
// handled.
func (s *server) handle(arrived, service time.Duration) time.Duration {
	s.free = max(s.free, arrived) + service
	return s.free
}

// A demand is one request of a workload.
type demand struct {
	origin  int
	at      time.Duration
	service time.Duration
}

// demands draws what is asked of the origins until end: the same for each policy.
func (w *workload) demands(seed uint64, end time.Duration) (all []demand) {
	for origin, rate := range w.rates {
		rng := rand.New(rand.NewPCG(seed, uint64(origin)))
		at := time.Duration(0)
		for {
			at += time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
			if at > end {
				break
			}
			all = append(all, demand{origin, at, w.service(rng)})
		}
	}
	slices.SortStableFunc(all, func(a, b demand) int { return int(a.at - b.at) })
	return all
}

// lognormal has this median; the greater sigma, the longer the tail.
func lognormal(median time.Duration, sigma float64) service {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// mixed is rare in so many of a hundred requests.
func mixed(usual, rare service, percent int) service {
	return func(r *rand.Rand) time.Duration {
		if r.IntN(100) < percent {
			return rare(r)
		}
		return usual(r)
	}
}

// rarely is rare once in so many times, and usual otherwise.
func rarely(usual, rare service, onceIn int) service {
	return func(r *rand.Rand) time.Duration {
		if r.IntN(onceIn) == 0 {
			return rare(r)
		}
		return usual(r)
	}
}

func always(d time.Duration) service { return func(*rand.Rand) time.Duration { return d } }

// logUniform is in each power of ten between least and most as often as in any other.
func logUniform(least, most time.Duration) service {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), r.Float64()))
	}
}

// An outcome is what a policy has made of a workload.
type outcome struct {
	latencies []time.Duration // sorted; those of the beginning are left out
	requests  int
	late      int // answers that took 50 ms longer than a connection of their own takes
	dials     int
	begun     int // dials in the beginning
	peak      int // the most connections at a time
	copies    int // requests sent
}

// beginning is how long it takes at most until the connections are made and the
// origins known. Requests of that time are not typical of the rest.
const beginning = 2 * time.Second

// answer takes note that the answer to a request, of which it was asked at that time,
// came after took.
func (o *outcome) answer(w *workload, at, took, service time.Duration) {
	o.requests++
	if at < beginning {
		return
	}
	o.latencies = append(o.latencies, took)
	if took > w.rtt+service+50*time.Millisecond {
		o.late++
	}
}

// opened takes note of a new connection, one of so many that there are now.
func (o *outcome) opened(now time.Duration, open int) {
	o.dials++
	if now < beginning {
		o.begun++
	}
	o.peak = max(o.peak, open)
}

func (o *outcome) quantile(q float64) time.Duration {
	return o.latencies[int(q*float64(len(o.latencies)-1))]
}

func (o *outcome) lateShare() float64 { return float64(o.late) / float64(len(o.latencies)) }

// twice is the share of requests that were sent a second time.
func (o *outcome) twice() float64 { return float64(o.copies)/float64(o.requests) - 1 }
