package httppipe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// A simulation runs the scheduler of a Transport, and no other part of it, on one
// goroutine and in virtual time. It replays exactly.
type simulation struct {
	w     *workload
	t     *Transport
	rng   *rand.Rand
	began instant
	end   time.Duration
	wake  chan struct{}
	timer *time.Timer

	addrs   []string // of the origins, as far as they were asked
	servers []server // of origins that have a single one
	demands []demand // that are still to come
	events  eventHeap
	number  int
	waiting []*simRequest
	again   []*simRequest // to be sent again
	open    int
	out     outcome
}

// A simRequest is a request, and its present attempt.
type simRequest struct {
	demand
	began instant
	x     *exchange
	tries int
}

// An event happens at some time; those of the same time happen in the order in
// which they were scheduled.
type event struct {
	at instant
	n  int
	do func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(event)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}

func (s *simulation) at(t instant, do func()) {
	s.number++
	heap.Push(&s.events, event{t, s.number, do})
}

// simulate runs w for the time of end, as a Transport does it.
func (w *workload) simulate(t *testing.T, seed uint64, end time.Duration) (out outcome) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{w: w, began: clock(), end: end, wake: make(chan struct{}, 1)}
		s.rng = rand.New(rand.NewPCG(seed, 1<<32))
		s.timer = time.NewTimer(0)
		s.servers = make([]server, max(1, len(w.rates)))
		s.t = &Transport{MaxConnsPerHost: w.limit, MaxIdleConnsPerHost: 1 << 20, IdleConnTimeout: 90 * time.Second}
		s.t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			time.Sleep(w.dialTime() + ctx.Value(dialNumber{}).(time.Duration))
			return &net.TCPConn{}, nil
		}
		s.t.pool.simulate = s.driver
		s.demands = w.demands(seed, end)
		s.next()
		for i := range w.callers {
			s.at(s.began.Add(w.begins(i)), func() { s.ask(s.draw()) })
		}
		s.run()
		s.t.CloseIdleConnections()
		slices.Sort(s.out.latencies)
		out = s.out
	})
	return out
}

// next schedules the next demand.
func (s *simulation) next() {
	if len(s.demands) == 0 {
		return
	}
	d := s.demands[0]
	s.demands = s.demands[1:]
	s.at(s.began.Add(d.at), func() {
		s.next()
		s.ask(&simRequest{demand: d, began: clock()})
	})
}

// draw returns the next request of a caller.
func (s *simulation) draw() *simRequest {
	return &simRequest{demand: demand{service: s.w.draw(s.rng, clock().Sub(s.began))}, began: clock()}
}

func (s *simulation) run() {
	for {
		synctest.Wait()
		if s.settled() {
			continue
		}
		if len(s.events) == 0 && len(s.waiting) == 0 {
			return
		}
		if len(s.events) > 0 {
			s.timer.Reset(s.events[0].at.Sub(clock()))
		}
		select {
		case <-s.wake:
		case <-s.timer.C:
			synctest.Wait() // for those whose time is the same
			for len(s.events) > 0 && !s.events[0].at.After(clock()) {
				heap.Pop(&s.events).(event).do()
			}
		}
	}
}

// settled sends what has got a connection, and asks for one for what has lost its.
func (s *simulation) settled() (any bool) {
	again := s.again
	s.again = nil
	for _, r := range again {
		s.ask(r)
	}
	for i := 0; i < len(s.waiting); i++ {
		r := s.waiting[i]
		p := s.place(r)
		settled := !r.x.waiting
		p.mu.Unlock()
		if settled {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			i--
			any = true
			if !r.x.submitted {
				s.send(r)
			}
		}
	}
	return any || len(again) > 0
}

func (s *simulation) place(r *simRequest) *place {
	return s.t.place(routeKey{scheme: "http", addr: s.addr(r)})
}

// addr returns the address of the origin that r is for.
func (s *simulation) addr(r *simRequest) string {
	for len(s.addrs) <= r.origin {
		s.addrs = append(s.addrs, fmt.Sprintf("origin%d:80", len(s.addrs)))
	}
	return s.addrs[r.origin]
}

// ask has r reserve a place on a connection.
func (s *simulation) ask(r *simRequest) {
	s.number++
	ctx := context.WithValue(context.Background(), dialNumber{}, time.Duration(s.number%4096))
	x := &exchange{out: &outgoing{req: simHTTPRequest.WithContext(ctx), shareable: true, replayable: true, rescuable: true}}
	x.route = &route{scheme: "http", addr: s.addr(r)}
	x.call.Wake = s.wake
	if r.x != nil {
		x.arrived, x.solo, x.accuses = r.x.arrived, r.x.silent, r.x.silent
	}
	r.x = x
	now := clock()
	p := s.place(r)
	c := p.ask(x, now)
	if c == nil {
		s.waiting = append(s.waiting, r)
	}
	p.mu.Unlock()
	if c != nil {
		s.send(r)
	}
}

// dialNumber is how many nanoseconds longer a dial takes than others do, so that no
// two of them end at the same time, in an order that nothing determines.
type dialNumber struct{}

var simHTTPRequest = &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "origin"}}

// send sends r on the connection that it has got, and who is to go with it.
func (s *simulation) send(r *simRequest) {
	if r.x.err != nil {
		panic(r.x.err)
	}
	r.x.conn.d.(*simDriver).send(r)
	second := r.x.second
	if second == nil {
		return
	}
	i := slices.IndexFunc(s.waiting, func(r *simRequest) bool { return r.x == second })
	s.waiting[i].x.conn.d.(*simDriver).send(s.waiting[i])
	p := s.place(r)
	second.submitted, second.bound = true, false
	second.settle()
	p.mu.Unlock()
}

// A simDriver is a connection to a server that handles one request at a time.
type simDriver struct {
	s      *simulation
	c      *conn
	hooks  pipeline.Hooks
	server *server // of this connection, or of the whole origin
	calls  []*simCall
	closed bool
}

type simCall struct {
	r    *simRequest
	x    *exchange
	lost bool
}

func (s *simulation) driver(c *conn, hooks pipeline.Hooks) driver {
	s.open++
	s.out.opened(clock().Sub(s.began), s.open)
	return &simDriver{s: s, c: c, hooks: hooks}
}

func (d *simDriver) send(r *simRequest) {
	s := d.s
	s.out.copies++
	r.tries++
	call := &simCall{r: r, x: r.x}
	call.x.inPipe.Store(true)
	d.calls = append(d.calls, call)
	if d.server == nil {
		d.server = new(server)
		if s.w.single {
			d.server = &s.servers[r.origin]
		}
	}
	handled := d.server.handle(clock().Sub(s.began)+s.w.rtt/2, r.service)
	s.at(s.began.Add(handled+s.w.rtt/2), func() { d.answer(call) })
}

func (d *simDriver) answer(call *simCall) {
	if d.closed {
		return
	}
	d.calls = d.calls[1:]
	if !call.lost {
		call.x.call.Response.StatusCode = http.StatusOK
		d.s.answered(call.r)
	}
	d.hooks.Left(&call.x.call)
}

func (s *simulation) answered(r *simRequest) {
	took := clock().Sub(r.began)
	s.out.answer(s.w, r.began.Sub(s.began), took, r.service)
	if s.w.callers > 0 && clock().Sub(s.began) < s.end {
		s.ask(s.draw())
	}
}

func (d *simDriver) Withdraw(call *pipeline.Call, err error) bool {
	for _, c := range d.calls {
		if &c.x.call == call && !c.lost {
			d.lose(c)
			return true
		}
	}
	return false
}

func (d *simDriver) lose(call *simCall) {
	call.lost = true
	d.s.again = append(d.s.again, call.r)
	call.x.wake()
}

func (d *simDriver) Close() {
	if d.closed {
		return
	}
	d.closed = true
	d.s.open--
	for _, c := range d.calls {
		if !c.lost {
			d.lose(c)
		}
	}
	d.hooks.Ended(net.ErrClosed)
}

func (d *simDriver) Head() *pipeline.Call {
	if len(d.calls) == 0 {
		return nil
	}
	return &d.calls[0].x.call
}

func (d *simDriver) Drop()        {}
func (d *simDriver) Retire()      { d.Close() }
func (d *simDriver) Usable() bool { return !d.closed }
func (d *simDriver) Check() bool  { return !d.closed }

var errSimulated = errors.New("not part of the simulation")

func (d *simDriver) Submit(*pipeline.Call) error   { return errSimulated }
func (d *simDriver) Abandon(*pipeline.Call, error) {}
func (d *simDriver) Await(context.Context, *pipeline.Call) ([]wire.ResponseHead, error) {
	return nil, errSimulated
}
