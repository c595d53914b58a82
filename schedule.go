package httppipe

import (
	"math"
	"slices"
	"time"
)

// choose returns the best connection for x that there is, or nil if x should
// wait. p.mu is held.
//
// Shared traffic is packed, so that connections stay idle for those who need one
// for themselves, and each write carries many requests; but nobody is sent behind
// others where it would wait long. A connection whose head takes longer than usual
// gets nothing: what is queued behind an answer that turns out slow is lost, so
// requests are bound late.
func (p *place) choose(x *exchange, now instant) *conn {
	if !x.shares() {
		return p.chooseIdle(true, x.fresh)
	}
	var waited time.Duration
	if x.waiting {
		waited = now.Sub(x.since)
	}
	packed, most := p.known.packed(), p.known.crowded(waited)
	if p.full() {
		// Who has waited for as long as a late answer takes, or can wait for no other
		// connection, loses nothing behind one.
		loses := p.t.MaxConnsPerHost > 1 && now.Sub(x.arrived) < p.known.excess
		most = p.known.filled(loses)
		packed = min(packed, most) // there may be no elsewhere for who waits behind a late answer
	}
	var some []*conn
	if max(packed, most) > 1 {
		some = p.conns.look(now)
	}
	c := p.chooseShared(some, x, packed, p.known.doublings() > 0, now)
	x.crowded = c != nil && c.inFlight >= p.known.packedIf(p.known.doublings()-1) || c == nil && p.conns.busy > 0
	if c != nil {
		return c
	}
	if c := p.chooseIdle(false, false); c != nil {
		switch {
		case !p.awaitsPartner(x, c, now):
			return c
		case p.known.pairPause() > minTick:
			return nil
		}
		most = min(most, 2*packed) // rather than to wait for longer than an answer may take
	}
	return p.chooseShared(some, x, most, false, now)
}

// chooseShared returns the connection with the least in flight that x can join, if that
// is less than depth; or that with the most, so that others become idle: where requests
// may wait for longer than minQueue, to have fewer connections. It is one of some, or the
// one that has just got room.
func (p *place) chooseShared(some []*conn, x *exchange, depth int, fullest bool, now instant) (best *conn) {
	if depth <= 1 {
		return nil // all of them carry something
	}
	if c := p.freed; c != nil && c.inFlight > 0 && c.inFlight < depth && p.canJoin(c, x, now) {
		best = c
	}
	for _, c := range some {
		better := best == nil || fullest && c.inFlight > best.inFlight || !fullest && c.inFlight < best.inFlight
		if better && c.inFlight < depth && p.canJoin(c, x, now) {
			best = c
			if fullest && c.inFlight == depth-1 || !fullest && c.inFlight == 1 {
				break // there is no better one
			}
		}
	}
	return best
}

// chooseIdle returns the idle connection used last, or nil. fresh asks for one that
// was never used.
func (p *place) chooseIdle(alone, fresh bool) *conn {
	for _, c := range p.conns.idle() {
		if !(c.closing || c == p.barrier && !alone || fresh && c.reused || c.spent()) {
			return c
		}
	}
	return nil
}

// awaitsPartner reports whether x should wait a moment for another request, so that
// both go to c in one write and prove that the peer can pipeline: if requests come
// that fast, and no other waits yet. Without that proof c is of little use to many.
func (p *place) awaitsPartner(x *exchange, c *conn, now instant) bool {
	if !x.waiting || x.pause == 0 {
		x.pause = p.partnerPause(x, now)
	}
	awaits := c.proof == proofPair && x.out.rescuable && p.pairs(c, now) && now.After(p.aloneTill) &&
		(p.proven() || p.trial(now) == nil) &&
		x.gap < x.pause && x.hopes(now) < x.pause &&
		p.alone.first == nil && (p.shared.first == nil || p.shared.first == x && p.shared.last == x)
	if awaits && x.hopeful.IsZero() {
		x.hopeful = now
	}
	return awaits
}

// pairs reports whether two requests may go in one write to c, which is to be proved: not
// where the second is known to wait too long, as behind slow handlers, or the peer answers
// no two more.
func (p *place) pairs(c *conn, now instant) bool {
	return p.known.canPipeline(now) && (p.known.packed() > 1 || p.full()) && p.answersOf(c) >= 2
}

// hopes is how long x has waited for a partner, although there was a connection for it.
func (x *exchange) hopes(now instant) time.Duration {
	if x.hopeful.IsZero() {
		return 0
	}
	return now.Sub(x.hopeful)
}

// partnerPause is how long x should wait for a partner. Who has waited for a connection
// already does so for what is left of pairPause, or a moment: the answer to a possible one has just come, and it is about to
// ask. Of three callers one always waits for the two connections that there are at first, and no
// two ever would. For others the first proof of an origin is worth a wait only if that is far
// away, and there are more callers than a few: those nearby have come about sooner, or do
// without. Of those who ask at once a second one waits only to see whether a third does.
func (p *place) partnerPause(x *exchange, now instant) time.Duration {
	pause := p.known.pairPause()
	switch {
	case x.waiting:
		return max(minTick, pause-now.Sub(x.arrived))
	case p.proven():
		return pause
	case pause == minTick:
		return 0
	case p.conns.busy >= unprovenConns:
		return pause
	case p.conns.busy > 0:
		return minTick
	}
	return 0
}

// learnAlone takes note that x found no partner. If it had waited for one, nobody does for
// a while: that must not cost more than a little of the time. So it is if another connection
// had room for it meanwhile: that one was idle, and x could have been answered.
func (p *place) learnAlone(x *exchange, now instant) {
	if hoped := min(x.hopes(now), x.pause); hoped > 0 {
		p.aloneTill = now.Add(partnerPauses * hoped)
	}
}

// canJoin reports whether x may be sent behind what is in flight on c: if that is
// answered in time, or if nobody wants it any more and there can be no other connection.
func (p *place) canJoin(c *conn, x *exchange, now instant) bool {
	return p.hasPlace(c, x, now) && (p.waits(c, now) <= p.known.usual || p.full() && c.unwanted())
}

// hasPlace reports whether x may be sent behind what is in flight on c, which carries
// something, if that is answered in time.
func (p *place) hasPlace(c *conn, x *exchange, now instant) bool {
	return !c.exclusive && c != p.barrier && !c.closing &&
		c.origin == x.route.addr &&
		c.inFlight < p.depthOf(c, x, now) &&
		!c.spent() && !(x.out.vouched && c.streams()) &&
		c.d.Usable()
}

// streams reports whether the content of a response is being read from c. If its caller
// does not read on before another request is answered, that must not be behind it,
// unless it may be sent again while it is.
func (c *conn) streams() bool { return c.head().call.Settled() }

// unwanted reports whether all that is in flight on c was sent elsewhere meanwhile.
// Whoever joins takes what still comes out of the way.
func (c *conn) unwanted() bool {
	return !slices.ContainsFunc(c.line, func(x *exchange) bool { return !x.rescued })
}

// firstDepth is how many exchanges may be in flight on a connection that has not answered
// as many yet: what they lose if one of the first is late is not known yet.
const firstDepth = 64

// depthOf is how many exchanges may be in flight on c when x joins, as far as the
// peer is trusted.
func (p *place) depthOf(c *conn, x *exchange, now instant) int {
	depth := p.t.depth()
	switch {
	case !p.known.canPipeline(now):
		return 1
	case c.proof == proofAlone:
		return 1
	case c.pair > 0:
		return 1 // to see the pair through
	case c.proof == proofPair:
		// Only a pair in one write proves anything, but nobody waits long for that, unless
		// the next in the queue could be the second of one. Who has not been submitted may
		// still bring another along.
		if !x.waiting || c.inFlight == 1 && !c.line[0].inPipe.Load() || now.Sub(x.since) < p.known.pairPause() || p.trial(now) != nil ||
			!p.proven() && x.pairsWith(x.behind) {
			return 1
		}
		return min(depth, 2, p.answersOf(c))
	}
	depth = min(depth, max(firstDepth, c.answered))
	if !p.full() {
		depth = min(depth, spared(p.known.cut)) // there are others for those behind
	}
	return min(depth, p.answersOf(c))
}

// answersOf is how many more answers, at least one, are expected of c: what it has announced,
// and the origin gives on a connection, as far as is known.
func (p *place) answersOf(c *conn) int {
	n := math.MaxInt
	if p.known.most > 0 {
		n = p.known.most - c.answered
	}
	if c.keep.last > 0 {
		n = min(n, c.keep.last-c.gone)
	}
	return max(1, n)
}

// pairsWith reports whether x and second, if there is one, can prove a connection in one
// write: both may be sent again, and go to the same origin.
func (x *exchange) pairsWith(second *exchange) bool {
	return second != nil && x.out.rescuable && second.out.rescuable && second.route.addr == x.route.addr
}

// full reports whether there can be no more connections.
func (p *place) full() bool {
	limit := p.t.MaxConnsPerHost
	return limit > 0 && p.total() >= limit
}

const (
	// unprovenConns is how many connections an origin gets while none of them has
	// shown that it can pipeline: with more callers than that a pair comes about.
	unprovenConns = 2

	// slowConns is how many it gets at the most, if that takes longer than it is worth
	// to wait for: as many as browsers open. So a few requests to an origin far away take
	// no more round trips than with net/http.
	slowConns = 6

	// burstConns is how many it gets if so many requests come within a round trip to an
	// origin that may be far away, as to see a pair answered first would take them up to
	// two more; or wait while the first answer of all is late, or a pair is. There may be
	// more, see burst and needed, when that lasts.
	burstConns = 64

	// maxNear is how long those who wait may have to, at the most, for a connection to an
	// origin nearby.
	maxNear = 2 * minPatience

	// partnerPauses is how many times as long as one has waited for a partner in vain
	// nobody does.
	partnerPauses = 16
)

// needed is how many dials should be under way for those who wait, and so that fewer
// are crowded. p.mu is held.
func (p *place) needed(now instant) int {
	packed := min(p.t.depth(), p.known.usuallyPacked(), firstDepth)
	alone, shared := p.alone.n, p.shared.n
	switch {
	case p.chooseIdle(false, false) != nil:
		return alone // who waits, waits for a partner
	case shared > 0:
	case p.crowded(packed, now):
		return alone + 1
	default:
		return alone
	}
	if !p.known.canPipeline(now) || p.t.depth() == 1 || p.known.brief() {
		return alone + shared // as net/http
	}
	sharing, late := p.sharing(now)
	double := 0
	if late == sharing {
		double = sharing // that this goes on can only be guessed
	}
	switch {
	case p.bindsLate(packed, now):
		return alone
	case packed == 1 && p.known.known, !p.proven() && p.known.dialsSoon():
		return alone + shared // as net/http
	case p.trialIsLate(now):
		return alone + min(shared, max(sharing, burstConns-sharing)) // all may take as long
	case late > 0 && !p.known.known:
		return alone + min(shared, max(double, p.burst(now)-sharing)) // the same
	case !p.proven():
		return alone + min(shared, max(double, p.untilProven(sharing, now)-sharing))
	case double > 0:
		return alone + min(shared, double)
	}
	more := (shared+packed-1)/packed - p.unproven(now)
	if rtt := p.known.rtt; rtt >= minPatience {
		// A new connection answers one, at first. Who cannot be carried by those there are
		// when they have answered what they carry, as often as they do while one is dialed,
		// has one.
		more = max(more, shared-sharing*packed*int((p.known.dial+rtt/2)/rtt))
	}
	return alone + max(0, more)
}

// untilProven is how many connections those who share should have while none of them
// has shown that the origin can pipeline. Each of these carries one of those who wait next.
// Somebody waits. p.mu is held.
func (p *place) untilProven(sharing int, now instant) int {
	pause, trial, waited := p.known.coldPause(), p.trial(now), now.Sub(p.shared.first.since)
	way := p.known.distance(waited)
	far := way >= minPatience && p.known.dialFailures == 0 && !p.known.switches
	conns := unprovenConns
	switch {
	case trial != nil && trial.oneWrite && far:
		// Its answers are followed by as many as do not wait long behind each other.
		return max(0, min(p.shared.n, p.burst(now))-min(p.t.depth(), p.known.usuallyPacked(), firstDepth))
	case trial != nil && trial.oneWrite:
		return 0 // its answers come before that to a request on another connection
	case waited >= pause, sharing == 0 && p.known.rtt >= pause:
		conns = slowConns
	case sharing == 0:
		conns = 1
	}
	if far {
		if sharing == 0 {
			way = max(way, waited) // a dial may take several round trips (TLS), before which none shows anything
		}
		conns = max(conns, p.early(way, now))
	}
	return conns
}

// burst is how many connections there may be while no more is known of the origin than that
// it is slow: burstConns, or another for each who waits to share one when it is known to be far,
// or the first has waited so long that this is no short way which they crowd, and no lack of
// time of this process. Somebody waits. p.mu is held.
func (p *place) burst(now instant) int {
	if waited := now.Sub(p.shared.first.since); max(waited, p.known.distance(0)) >= maxNear && p.skipped == 0 {
		return max(burstConns, len(p.conns.all)+p.shared.n)
	}
	return burstConns
}

// early is how many of those who share and wait, as many as may have connections at once,
// are answered sooner on one of their own than when others have shown that the origin can
// pipeline: those who have come within way, a round trip, of the first. p.mu is held.
func (p *place) early(way time.Duration, now instant) (n int) {
	x, most := p.shared.first, p.burst(now)
	for i := 0; x != nil && i < most; i++ {
		if x.since.Sub(p.shared.first.since) <= way {
			n++
		}
		x = x.behind
	}
	return n
}

// crowded reports whether there are so many requests on a connection that another is
// worth a dial, although nobody waits for it. Behind a late head that is no reason:
// the next ones go elsewhere anyway.
func (p *place) crowded(packed int, now instant) bool {
	return slices.ContainsFunc(p.conns.carrying(), func(c *conn) bool { return c.inFlight > packed+packed/2 && !p.late(c, now) })
}

// bindsLate reports whether there is a connection with room for those who wait, who
// only wait to see whether its head is late.
func (p *place) bindsLate(packed int, now instant) bool {
	x := p.shared.first
	return x != nil && packed > 1 && slices.ContainsFunc(p.conns.carrying(), func(c *conn) bool {
		return c.inFlight < packed && !p.late(c, now) && p.hasPlace(c, x, now)
	})
}

// sharing counts the connections that may be shared, and how many of these have a
// late head.
func (p *place) sharing(now instant) (all, late int) {
	for _, c := range p.conns.all {
		if c.exclusive || c.closing {
			continue
		}
		all++
		if p.late(c, now) {
			late++
		}
	}
	return all, late
}

// unproven counts the connections that have still to pass a step, and will be shared
// by more when they have.
func (p *place) unproven(now instant) (n int) {
	for _, c := range p.conns.all {
		if !c.exclusive && !c.closing && c.proof != proofOpen && !p.late(c, now) {
			n++
		}
	}
	return n
}

// trial returns the connection with the pair in flight that is to show whether the
// origin can pipeline at all, or nil. Until that is known there is one at a time, for as
// long as it may be silent: an origin that cannot keeps its second waiting.
func (p *place) trial(now instant) *conn {
	c := p.tried
	if c == nil || c.pair == 0 || c.inFlight == 0 || c.ended || p.waits(c, now) > p.known.patienceWithPair() {
		return nil
	}
	return c
}

// trialIsLate reports whether the answers to that pair take so long that who waits is
// better off with a dial.
func (p *place) trialIsLate(now instant) bool {
	c := p.trial(now)
	return c != nil && p.waits(c, now) > p.known.patienceForDial()
}

// proven reports whether some connection has passed all steps.
func (p *place) proven() bool { return p.conns.proven > 0 }

// due is when the answer to c's head is due: a round trip after it was assigned, or
// when its service ends that began after the answer before it. c has a head.
func (p *place) due(c *conn) instant {
	rtt := p.known.rtt
	if !p.known.known {
		rtt = min(p.known.dial, minPairWait) // it takes one, or more
	}
	due, after := c.line[0].assigned.Add(rtt), c.turn.Add(p.known.service)
	if c.line[0].joined && after.After(due) {
		return after
	}
	return due
}

// waits is how long the answer to c's head has been due.
func (p *place) waits(c *conn, now instant) time.Duration { return now.Sub(p.due(c)) }

// lateFrom is when c's head becomes late; or when one would that were due now.
func (p *place) lateFrom(c *conn, now instant) instant {
	if c.inFlight > 0 {
		now = p.due(c)
	}
	return now.Add(p.known.patience())
}

// late reports whether c's head is overdue.
func (p *place) late(c *conn, now instant) bool {
	return c.inFlight > 0 && p.waits(c, now) > p.known.patience()
}
