package load

import (
	"sync"
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
)

// pace sends requests at the times of a schedule that knows nothing of the answers:
// Options.Rate of them in a second, at random moments. There are as many callers
// as it takes. A client that holds its callers up thus gets the next requests
// all the same, as a service would from its own users, and the times that it
// costs them count from the moment in the schedule.
func (r *run) pace(c contestant.Contestant) {
	random := newRandom(0)
	idle := callers{make: func() *caller { return &caller{c.NewWorker(), r.newCount()} }}
	for due := time.Now(); phase(r.phase.Load()) != over; {
		due = due.Add(time.Duration(random.ExpFloat64() / r.opts.Rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		slow := r.isSlow(random)
		go func() {
			x := idle.get()
			r.send(x, slow, due)
			idle.put(x)
		}()
	}
}

// callers are those without a request in flight.
type callers struct {
	make func() *caller
	mu   sync.Mutex
	list []*caller
}

func (cs *callers) get() *caller {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if n := len(cs.list); n > 0 {
		c := cs.list[n-1]
		cs.list = cs.list[:n-1]
		return c
	}
	return cs.make()
}

func (cs *callers) put(c *caller) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.list = append(cs.list, c)
}
