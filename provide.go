package httppipe

// How the connections of a place come about: when one is dialed, for whom, and what
// follows when that fails.

import (
	"context"
	"slices"
	"time"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// provide dials for those who wait, if that helps them, and looks again in time; p.mu is
// held.
func (p *place) provide(now instant) {
	p.discardSpent()
	p.dialMore(now)
	p.makeRoom()
	p.bar()
	p.tick(now)
}

// dialMore dials for those who wait, if that helps them; p.mu is held.
func (p *place) dialMore(now instant) {
	if p.canDial() {
		for need := p.needed(now); p.dialing-p.hanging < need && p.canDial(); {
			if len(p.conns.all) > 0 && p.known.dialsFail(now, p.dialing) {
				break // the timer comes back to it
			}
			x := p.dialsFor()
			p.dialing++
			p.t.stats.dials.Add(1)
			go p.dial(x, x.dialContext(), *x.route)
		}
	}
}

// canDial reports whether another dial may be begun, if it is needed. p.mu is held.
func (p *place) canDial() bool {
	limit := p.t.MaxConnsPerHost
	return p.dialing < p.alone.n+max(1, p.shared.n) && (limit <= 0 || p.total() < limit) &&
		!(p.known.dialsCrowd() && p.dialing-p.hanging >= p.alone.n+crowdedDials)
}

// makeRoom closes an idle connection for who waits for a fresh one, when there can
// be no more of them. p.mu is held.
func (p *place) makeRoom() {
	x := p.alone.first
	if x == nil || !x.fresh || p.dialing > 0 || !p.full() {
		return
	}
	if c := p.chooseIdle(true, false); c != nil {
		p.discard(c)
	}
}

// bar keeps a connection free for who waits for one of its own, when there can be
// no more of them: steady shared requests must not starve it. Those who share
// and have waited longer come first. p.mu is held.
func (p *place) bar() {
	if p.alone.first == nil || !p.full() || p.shared.first != nil && !p.aloneIsNext() {
		p.barrier = nil
		return
	}
	if p.barrier != nil {
		return
	}
	for _, c := range p.conns.all {
		if !c.exclusive && (p.barrier == nil || c.inFlight < p.barrier.inFlight) {
			p.barrier = c
		}
	}
}

// dialsFor says for whom the next dial is begun: who has waited longest without that one
// was; or if all have one, who has waited longest; or one of those who crowd a connection,
// if nobody waits. p.mu is held.
func (p *place) dialsFor() *exchange {
	queues := []*exchangeQueue{&p.alone, &p.shared}
	for _, q := range queues {
		if x := q.undialed; x != nil {
			q.dial(x)
			return x
		}
	}
	for _, q := range queues {
		if q.first != nil {
			return q.first
		}
	}
	x := slices.MaxFunc(p.conns.carrying(), func(a, b *conn) int { return len(a.line) - len(b.line) }).line[0]
	x.dials = true
	return x
}

// crowdedDials is how many dials are under way at the most for those who share while this
// process has no time for them: more would make all slower, and so few keep it busy.
const crowdedDials = 16

// dialPatience is how long a dial may take until others are begun beside it for those who
// wait, one for each at the most: what it waits for may concern it alone.
const dialPatience = time.Second

// dial makes a connection, and gives it to x, for which it was begun, or if that
// does not wait any more, to somebody else.
func (p *place) dial(x *exchange, ctx context.Context, r route) {
	began := clock()
	over, hangs := false, false
	patience := time.AfterFunc(dialPatience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !over {
			hangs = true
			p.hanging++
			p.dispatch(clock())
		}
	})
	reached := func() {
		took := clock().Sub(began) // and not until others let this be noted
		p.mu.Lock()
		defer p.mu.Unlock()
		p.known.reached(took)
	}
	d, err := p.t.dialRoute(ctx, r, reached)
	took := clock().Sub(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := clock()
	p.dialing--
	over = true
	if patience.Stop(); hangs {
		p.hanging--
	}
	var c *conn
	switch {
	case err != nil:
		p.dialFailed(x, err, began)
	case d.alt != nil:
		p.known.switches = true
		p.switchTo(d)
	default:
		p.known.dialed(now, took)
		c = p.add(d)
		if x.waiting && !x.bound {
			p.forget(x)
			p.assign(x, c, now)
			x.settle()
		}
	}
	p.dispatch(now)
	if c != nil && c.inFlight == 0 {
		p.t.pool.becameIdle(c, now) // who wanted it has found another, or has given up
	}
}

// driverOptions are what the connections of t have in common.
func (t *Transport) driverOptions() *pipeline.Options {
	return &pipeline.Options{
		Limits: wire.Limits{Head: t.maxResponseHeaderBytes()},
		Memory: &t.pool.memory,
	}
}

// add puts a new connection into the pool; p.mu is held.
func (p *place) add(d *dialed) *conn {
	c := &conn{place: p, dialed: d}
	hooks := pipeline.Hooks{Left: c.left, Ended: c.endedBy}
	if simulate := p.t.pool.simulate; simulate != nil {
		c.d = simulate(c, hooks)
	} else {
		c.d = pipeline.NewDriver(d.conn, p.t.driverOptions(), hooks)
	}
	p.conns.add(c)
	return c
}

// dialFailed tells those who cannot be served: x, for which the dial was begun, unless it
// can share a connection which makes progress; and without any connection all who waited
// for this dial, once there is none under way or it was not the first to fail, but for
// those who have one of their own. p.mu is held.
func (p *place) dialFailed(x *exchange, err error, began instant) {
	now := clock()
	p.known.dialFailed(now)
	if x.waiting && !x.bound && !(x.shares() && p.progresses(now)) {
		p.forget(x)
		x.fail(err)
	}
	if len(p.conns.all) > 0 {
		return
	}
	for _, q := range []*exchangeQueue{&p.alone, &p.shared} {
		for x := q.first; x != nil && !x.since.After(began); {
			behind := x.behind
			if p.dialing == 0 || !x.dials && p.known.dialFailures > 1 {
				q.remove(x)
				x.fail(err)
			}
			x = behind
		}
	}
}

// progresses reports whether there is a connection that answers, if not in time, and
// that can be shared. p.mu is held.
func (p *place) progresses(now instant) bool {
	return slices.ContainsFunc(p.conns.all, func(c *conn) bool {
		return !c.exclusive && !c.closing && (c.inFlight == 0 || p.waits(c, now) <= rescueAnyway)
	})
}
