package httppipe

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// A plainPolicy does what net/http does: one request at a time on a connection, a
// dial for whoever finds none idle, and the connection that is free first goes to
// whoever has waited longest.
type plainPolicy struct {
	w       *workload
	rng     *rand.Rand
	now     time.Duration
	end     time.Duration
	events  plainHeap
	number  int
	origins []plainOrigin
	open    int
	out     outcome
}

type plainOrigin struct {
	idle    []time.Duration // since when each has been idle, that used last at the end
	waiting []demand
	conns   int // dialed or being dialed
	server  server
}

type plainEvent struct {
	at time.Duration
	n  int
	do func()
}

type plainHeap []plainEvent

func (h plainHeap) Len() int { return len(h) }
func (h plainHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h plainHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *plainHeap) Push(e any)   { *h = append(*h, e.(plainEvent)) }
func (h *plainHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = plainEvent{}
	*h = (*h)[:last]
	return e
}

const plainIdleTimeout = 90 * time.Second

// plain runs w for the time of end, as net/http does it.
func (w *workload) plain(seed uint64, end time.Duration) outcome {
	return w.plainly(seed, end, w.demands(seed, end))
}

// clairvoyant runs w with the fewest connections that do: it knows how long each answer
// will take. Those that take longer than slow get a connection for themselves, as with
// net/http, and all the others to an origin share one.
func (w *workload) clairvoyant(seed uint64, end, slow time.Duration) outcome {
	demands := w.demands(seed, end)
	quick := func(d demand) bool { return d.service <= slow }
	out := w.plainly(seed, end, slices.DeleteFunc(slices.Clone(demands), quick))
	shared := make([]server, len(w.rates))
	for _, d := range demands {
		if quick(d) {
			handled := shared[d.origin].handle(d.at+w.rtt/2, d.service)
			out.answer(w, d.at, handled+w.rtt/2-d.at, d.service)
			out.copies++
		}
	}
	out.dials += len(shared)
	out.begun += len(shared)
	out.peak += len(shared)
	slices.Sort(out.latencies)
	return out
}

// plainly runs w, of which only these demands, as net/http does it.
func (w *workload) plainly(seed uint64, end time.Duration, demands []demand) outcome {
	s := &plainPolicy{w: w, end: end, origins: make([]plainOrigin, max(1, len(w.rates)))}
	s.rng = rand.New(rand.NewPCG(seed, 1<<32))
	for _, d := range demands {
		s.at(d.at, func() { s.ask(d) })
	}
	for i := range w.callers {
		s.at(w.begins(i), func() { s.ask(s.draw()) })
	}
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(plainEvent)
		s.now = e.at
		e.do()
	}
	slices.Sort(s.out.latencies)
	return s.out
}

func (s *plainPolicy) at(t time.Duration, do func()) {
	s.number++
	heap.Push(&s.events, plainEvent{t, s.number, do})
}

func (s *plainPolicy) draw() demand { return demand{at: s.now, service: s.w.draw(s.rng, s.now)} }

func (s *plainPolicy) ask(d demand) {
	o := &s.origins[d.origin]
	expired, _ := slices.BinarySearch(o.idle, s.now-plainIdleTimeout)
	o.idle = o.idle[expired:]
	o.conns -= expired
	s.open -= expired
	if last := len(o.idle) - 1; last >= 0 {
		o.idle = o.idle[:last]
		s.send(d)
		return
	}
	o.waiting = append(o.waiting, d)
	if s.w.limit > 0 && o.conns >= s.w.limit {
		return
	}
	o.conns++
	s.at(s.now+s.w.dialTime(), func() {
		s.open++
		s.out.opened(s.now, s.open)
		s.free(d.origin)
	})
}

func (s *plainPolicy) free(origin int) {
	o := &s.origins[origin]
	if len(o.waiting) == 0 {
		o.idle = append(o.idle, s.now)
		return
	}
	d := o.waiting[0]
	o.waiting = o.waiting[1:]
	s.send(d)
}

func (s *plainPolicy) send(d demand) {
	s.out.copies++
	handled := s.now + s.w.rtt/2 + d.service
	if s.w.single {
		handled = s.origins[d.origin].server.handle(s.now+s.w.rtt/2, d.service)
	}
	s.at(handled+s.w.rtt/2, func() {
		took := s.now - d.at
		s.out.answer(s.w, d.at, took, d.service)
		s.free(d.origin)
		if s.w.callers > 0 && s.now < s.end {
			s.ask(s.draw())
		}
	})
}
