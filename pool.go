package httppipe

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// A pool holds the HTTP/1.1 connections of a Transport. The zero value is empty.
//
// Locks are taken in the order place.mu, pool.mu; none is held during I/O or
// while code of the user runs.
type pool struct {
	mu     sync.Mutex
	places map[routeKey]*place
	idle   connList              // idle connections of all places, the longest idle first
	timer  *time.Timer           // the janitor's next look at them; nil if there are none
	closed bool                  // idle connections are not kept, until there is a request
	latest atomic.Pointer[place] // asked for last, if idle connections are kept: most often it is again
	memory pipeline.Memory

	// simulate makes the driver of a connection in place of pipeline.NewDriver.
	simulate func(c *conn, hooks pipeline.Hooks) driver
}

// A driver is what is needed of a *pipeline.Driver. The simulation of the
// scheduler has one that sends nothing.
type driver interface {
	Submit(*pipeline.Call) error
	Await(context.Context, *pipeline.Call) ([]wire.ResponseHead, error)
	Abandon(*pipeline.Call, error)
	Withdraw(*pipeline.Call, error) bool
	Head() *pipeline.Call
	Usable() bool
	Check() bool
	Drop()
	Retire()
	Close()
}

// A place is where requests with one routeKey go: an origin, or an HTTP proxy. It
// knows its connections, who waits for one, and what the peer has taught us.
type place struct {
	t   *Transport
	key routeKey

	mu        sync.Mutex
	forgotten bool // no longer in pool.places
	conns     connSet
	inFlight  int           // exchanges on these
	tried     *conn         // see trial
	barrier   *conn         // kept free for an exclusive request
	freed     *conn         // has just got room, while others are looked at for those who wait
	aloneTill instant       // see learnAlone
	alts      []altConn     // connections of other protocols
	shared    exchangeQueue // waiting for a connection, or a place in one
	alone     exchangeQueue // waiting for a connection of their own
	dialing   int
	hanging   int // of these, those that have exceeded dialPatience
	known     knowledge
	asked     instant     // when somebody asked last for a place on a connection
	timer     *time.Timer // looks again when a head becomes overdue
	ticking   bool
	ticked    instant       // when it was last found out when it should
	tickAt    instant       // when it should
	tickWait  time.Duration // how long before that it was set
	skipped   int           // times in a row that it came late

	idleListed int // how many of conns are in pool.idle; guarded by pool.mu
}

// A conn is a connection in the pool. Its fields are guarded by place.mu.
type conn struct {
	place      *place
	d          driver
	dialed     *dialed
	inFlight   int         // exchanges assigned that have not left
	line       []*exchange // these exchanges, in the order in which they were assigned
	exclusive  bool        // the one in flight shares it with no other
	closing    bool        // is about to end: nobody may have it
	ended      bool        // of no further use
	reused     bool        // has been assigned before, or was idle: its peer may have closed it since
	answered   int         // exchanges that have left
	gone       int         // exchanges that have left, answered or not
	keep       keepAlive   // what the peer has announced
	proof      proof       // how far it is trusted with pipelining
	pair       int         // answers that the pair in flight still needs
	unanswered bool        // something that was sent on it has left without an answer
	oneWrite   bool        // it left in one write: the proof
	turn       instant     // since when its head is the head
	at         int         // its index in place.conns
	origin     string      // what its requests in flight are for; through an HTTP proxy it varies

	// In pool.idle, guarded by pool.mu.
	idleSince  instant
	prev, next *conn
	listed     bool
}

// maxPlaces is how many places a Transport remembers without a connection to
// them: what they taught us is of use when they are visited again.
const maxPlaces = 1000

// place returns the place for key, which it makes if it is not there. p.mu of the
// place returned is held.
func (t *Transport) place(key routeKey) *place {
	for {
		p := t.pool.latest.Load()
		if p == nil || p.key != key {
			p = t.pool.find(t, key)
		}
		p.mu.Lock()
		if !p.forgotten {
			return p
		}
		p.mu.Unlock()
	}
}

// find returns the place for key, which it makes if it is not there.
func (pl *pool) find(t *Transport, key routeKey) *place {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.closed = false
	p := pl.places[key]
	if p == nil {
		p = pl.newPlace(t, key)
	}
	pl.latest.Store(p)
	return p
}

// newPlace makes a place; pl.mu is held. If there are very many, it forgets some.
func (pl *pool) newPlace(t *Transport, key routeKey) *place {
	if pl.places == nil {
		pl.places = make(map[routeKey]*place)
	}
	if len(pl.places) >= 2*maxPlaces {
		go pl.forgetPlaces(len(pl.places) - maxPlaces)
	}
	p := &place{t: t, key: key}
	pl.places[key] = p
	return p
}

// forgetPlaces forgets up to n places that have no connection.
func (pl *pool) forgetPlaces(n int) {
	for _, p := range pl.all() {
		if n <= 0 {
			return
		}
		p.mu.Lock()
		if p.total() == 0 && p.alone.first == nil && p.shared.first == nil && !p.forgotten {
			p.forgotten = true
			pl.mu.Lock()
			delete(pl.places, p.key)
			pl.latest.CompareAndSwap(p, nil)
			pl.mu.Unlock()
			n--
		}
		p.mu.Unlock()
	}
}

// depth is the most exchanges in flight on a connection.
func (t *Transport) depth() int {
	switch {
	case t.MaxPipelineDepth == 0 && t.MaxConnsPerHost > 0:
		return DefaultMaxPipelineDepth
	case t.MaxPipelineDepth == 0:
		return DefaultMaxPipelineDepth / 4
	case t.MaxPipelineDepth < 1 || t.DisableKeepAlives:
		return 1
	}
	return t.MaxPipelineDepth
}

// reserve gets x a connection, x.conn, and a place in its queue; or x.alt, if the
// origin turns out to speak another protocol. It waits for as long as ctx and
// the request's Cancel allow. p.mu is held, and given up.
func (p *place) reserve(ctx context.Context, x *exchange) error {
	defer p.mu.Unlock()
	if p.ask(x, clock()) != nil {
		return nil
	}
	var err error
	for x.waiting {
		if err != nil && !x.bound {
			p.forget(x)
			p.bar()
			p.tick(clock()) // or the timer would go on for it
			return err
		}
		bound := x.bound
		p.mu.Unlock()
		if bound {
			<-x.call.Wake // whoever submits it is quick about it
		} else {
			err = firstError(err, x.sleep(ctx))
		}
		p.mu.Lock()
	}
	if err != nil && x.conn != nil && !x.submitted {
		p.unbind(x)
		p.leave(x.conn, slices.Index(x.conn.line, x), clock())
		return err
	}
	return x.err
}

// ask returns the connection on which x has got a place, or nil if x waits. Those
// who wait come first. p.mu is held.
func (p *place) ask(x *exchange, now instant) *conn {
	if x.arrived.IsZero() {
		x.arrived = now
	}
	queue := &p.alone
	if x.shares() {
		queue = &p.shared
		x.gap, p.asked = now.Sub(p.asked), now
	}
	if queue.first == nil {
		if c := p.choose(x, now); c != nil {
			p.assign(x, c, now)
			if c.inFlight > p.known.packed() {
				p.provide(now)
			}
			return c
		}
	}
	x.waiting, x.since = true, now
	queue.push(x)
	if queue.n > 2 && queue.first != x {
		p.dialMore(now) // those before it wait for what they did
	} else {
		p.dispatch(now) // the first may have waited for a second
	}
	return nil
}

// forget takes x out of the queue it waits in; p.mu is held.
func (p *place) forget(x *exchange) {
	x.waiting = false
	if x.shares() {
		p.shared.remove(x)
	} else {
		p.alone.remove(x)
	}
}

// assign gives x a place in c's queue; p.mu is held.
func (p *place) assign(x *exchange, c *conn, now instant) {
	x.reused, x.wasIdle = c.reused, c.reused && c.inFlight == 0
	if c.inFlight == 0 {
		p.conns.took(c)
		c.turn = now
		x.idleTime = p.t.pool.notIdle(c, now)
	}
	c.inFlight++
	p.inFlight++
	if n := len(c.line); n > 0 {
		c.line[n-1].followed = true
	}
	c.line = append(c.line, x)
	x.joined = c.inFlight > 1
	if x.joined {
		p.known.unseen = 0
	}
	x.assigned = now
	c.reused = true
	c.exclusive = !x.shares()
	if p.barrier == c {
		p.barrier = nil
	}
	c.origin = x.route.addr
	if c.proof == proofPair && c.inFlight == 2 && c.pair == 0 {
		c.pair, c.oneWrite = 2, false
		if !p.proven() {
			p.tried = c
		}
	}
	x.conn = c
	if c.inFlight == 2 && !(p.ticking && p.tickAt.Before(p.lateFrom(c, now))) {
		p.tick(now) // to look at c in time; it goes through all connections
	}
}

// settle tells x that it need not wait any longer; p.mu is held.
func (x *exchange) settle() {
	x.waiting = false
	x.wake()
}

// wake has x's caller look at what has changed.
func (x *exchange) wake() {
	select {
	case x.call.Wake <- struct{}{}:
	default:
	}
}

// dispatch assigns connections to those who wait, oldest first, and provides more
// connections if they are needed. p.mu is held.
func (p *place) dispatch(now instant) {
	p.bar()
	alone, shared := p.alone.first != nil, p.shared.first != nil
	for alone || shared {
		if alone && (!shared || p.aloneIsNext()) {
			alone = p.serve(&p.alone, now) && p.alone.first != nil
		} else {
			shared = p.serve(&p.shared, now) && p.shared.first != nil
		}
	}
	p.provide(now)
}

// aloneIsNext reports whether the oldest of those who wait for a connection of
// their own has waited longer than all who share. p.mu is held, and somebody
// waits in both queues.
func (p *place) aloneIsNext() bool { return p.alone.first.arrived.Before(p.shared.first.arrived) }

// serve assigns a connection to the oldest in q, if there is one for it.
// p.mu is held.
func (p *place) serve(q *exchangeQueue, now instant) bool {
	c := p.choose(q.first, now)
	if c == nil {
		return false
	}
	x := q.pop()
	p.assign(x, c, now)
	switch {
	case !x.shares() || c.proof != proofPair || c.inFlight > 1:
		p.learnAlone(x, now)
	case x.out.trace == nil:
		p.pairUp(x, c, now) // a trace's hooks may take any time: then pairLate does it, after them
	}
	x.settle()
	p.bar()
	return true
}

// pairUp has x, alone on c, bring the next in the queue along, if both may: a pair in one
// write shows whether the peer can pipeline. The second is told when the first has
// submitted both. p.mu is held.
func (p *place) pairUp(x *exchange, c *conn, now instant) {
	second := p.shared.first
	if !x.pairsWith(second) || !p.pairs(c, now) || p.trial(now) != nil {
		p.learnAlone(x, now)
		return
	}
	p.shared.remove(second)
	p.assign(second, c, now)
	c.oneWrite = true
	second.bound = true
	x.second = second
}

// pairLate has x, which has told its trace of the connection and is about to be
// submitted, bring another along, if it still can.
func (p *place) pairLate(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := x.conn; x.shares() && c.proof == proofPair && c.inFlight == 1 && !c.ended && c != p.barrier {
		p.pairUp(x, c, clock())
	}
}

// unbind has the other one of a pair wait again, because x, which was to submit it,
// gives up. p.mu is held.
func (p *place) unbind(x *exchange) {
	second := x.second
	if second == nil {
		return
	}
	x.second = nil
	p.leave(second.conn, slices.Index(second.conn.line, second), clock())
	second.bound, second.conn = false, nil
	p.shared.push(second)
	second.wake() // it looked at nothing else: its own context may have ended
}

// release takes back a place in a queue that x was given and has not used. A
// connection outside of any pool has no place, and no queue.
func (p *place) release(x *exchange) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(x.conn, slices.Index(x.conn.line, x), clock())
}

// left is the Driver's hook: an exchange is no longer on the connection.
func (c *conn) left(call *pipeline.Call) {
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range c.line {
		if &x.call == call {
			c.gone++
			for _, before := range c.line[:i] {
				before.joined = true // it was submitted later, by whoever was assigned it first
			}
			now := clock()
			p.learnAnswer(c, x, now)
			if i == 0 || x.call.Response.StatusCode != 0 {
				c.turn = now // others leave unanswered, and from the middle
			}
			p.leave(c, i, now)
			return
		}
	}
}

// leave takes the i-th exchange off c; p.mu is held.
func (p *place) leave(c *conn, i int, now instant) {
	c.inFlight--
	p.inFlight--
	c.line = slices.Delete(c.line, i, i+1)
	if c.inFlight == 0 && !c.ended {
		p.conns.gave(c)
		c.exclusive = false
		if c.d.Usable() {
			c.pair = 0 // who was canceled leaves no answer
		} else {
			p.discard(c)
		}
	}
	if p.shared.first != nil || p.alone.first != nil {
		p.freed = c
		p.dispatch(now)
		p.freed = nil
	} else if p.ticking && p.tickAt.After(p.lateFrom(c, now)) {
		p.tick(now) // that look was put off because of a head that may be gone
	}
	if c.isIdle() {
		p.t.pool.becameIdle(c, now)
	}
}

// discard closes an idle connection; p.mu is held.
func (p *place) discard(c *conn) {
	c.closing = true
	go c.d.Retire() // its hook takes p.mu
}

// open lets others follow x, the exclusive request on c, whose final response has
// begun. A connection that is still to be proved is left as it is, and so is one
// outside of any pool.
func (c *conn) open(x *exchange) {
	p := c.place
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.proof == proofOpen && len(c.line) == 1 && c.line[0] == x {
		c.exclusive = false
		p.dispatch(clock())
	}
}

// endedBy is the Driver's hook: the connection is of no further use.
func (c *conn) endedBy(err error) {
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	now := clock()
	p.t.pool.notIdle(c, now)
	c.ended = true
	if p.tried == c {
		p.tried = nil
	}
	if p.barrier == c {
		p.barrier = nil
	}
	p.conns.remove(c)
	p.learnEnd(c, err)
	p.dispatch(now)
}

// fail ends x's wait with an error; place.mu is held.
func (x *exchange) fail(err error) {
	x.err = err
	x.settle()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
