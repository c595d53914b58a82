package httppipe

import (
	"math"
	"slices"
	"time"

	"github.com/httppipe/httppipe/pipeline"
)

const (
	// rescueAnyway is how late an answer may be until those behind it are sent
	// elsewhere without regard to what is owed.
	rescueAnyway = time.Second

	// minSilence is the least time that a head which was sent first may get no
	// answer because of those behind it.
	minSilence = 10 * time.Second

	// maxSkipped is how many times in a row a timer that comes late itself is
	// taken for the reason why answers are.
	maxSkipped = 2

	// minTick is how soon the timer comes at the earliest, and how much too late it
	// may come.
	minTick = time.Millisecond
)

// tick sees to it that there is another look when a head becomes late, as long as
// somebody waits for a connection or behind another. When that is takes a look at all
// connections: if these are very many, it is found out by the timer. p.mu is held.
func (p *place) tick(now instant) {
	wait := minTick
	if p.conns.busy <= maxLook || now.Sub(p.ticked) >= minTick {
		if p.ticked = now; p.shared.first == nil && p.alone.first == nil && !p.behind() {
			if p.ticking && p.timer.Stop() {
				p.ticking = false
			}
			return
		}
		wait = p.untilLook(now)
	}
	if p.ticking && (!now.Add(wait).Before(p.tickAt) || !p.timer.Stop()) {
		return // it comes early enough, or is coming
	}
	p.ticking = true
	p.tickAt, p.tickWait = now.Add(wait), wait
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tock)
	} else {
		p.timer.Reset(wait)
	}
}

// untilLook is how long to wait for the next look: until a head becomes late, if it
// stays the head, or so late that those behind it are sent elsewhere; until somebody has
// waited long enough to join an unproven pair, or for more connections to be dialed; or
// until the next dial may be tried. What cannot be foreseen is looked at again and again,
// less often the longer it lasts. p.mu is held.
func (p *place) untilLook(now instant) time.Duration {
	patience := p.known.patience()
	wait := time.Duration(math.MaxInt64)
	again := func(waited time.Duration) { wait = min(wait, max(patience, waited/8)) }
	for _, q := range []*exchangeQueue{&p.alone, &p.shared} {
		if q.first != nil {
			again(now.Sub(q.first.since))
		}
	}
	if x := p.shared.first; x != nil {
		for _, pause := range []time.Duration{p.known.pairPause(), p.known.coldPause(), minPatience, maxNear} {
			if left := pause - now.Sub(x.since); left > 0 {
				wait = min(wait, left)
			}
		}
		if left := x.pause - x.hopes(now); left > 0 && !x.hopeful.IsZero() {
			wait = min(wait, left)
		}
	}
	if c := p.trial(now); c != nil && p.shared.first != nil {
		if left := p.known.patienceForDial() - p.waits(c, now); left >= 0 {
			wait = min(wait, left+1)
		}
	}
	if left := p.known.dialAfter.Sub(now); left > 0 {
		wait = min(wait, left)
	}
	for _, c := range p.conns.carrying() {
		waits := p.waits(c, now)
		if waits > patience {
			again(waits)
		}
		for _, after := range []time.Duration{patience, p.known.rescueAfter()} {
			if left := after - waits; left >= 0 {
				wait = min(wait, left)
			}
		}
	}
	return max(minTick, wait)
}

// behind reports whether a request is behind another, or was when it was sent.
// p.mu is held.
func (p *place) behind() bool {
	for _, c := range p.conns.carrying() {
		if c.inFlight > 1 || c.pair > 0 || c.line[0].joined {
			return true
		}
	}
	return false
}

// tock sends those elsewhere who wait behind a late answer, and gives connections
// to those who wait for one.
func (p *place) tock() {
	p.mu.Lock()
	p.ticking = false
	now := clock()
	p.known.learnLag(now.Sub(p.tickAt))
	if now.Sub(p.tickAt) > max(minTick, p.tickWait/2) && p.skipped < maxSkipped {
		// This process had no time to run: it may be late, and not the origin.
		p.skipped++
		p.dispatch(now)
		p.mu.Unlock()
		return
	}
	p.skipped = 0
	p.learnLate(now)
	rescued, silent, unread := p.rescue(now), p.silenced(now), p.unread(now)
	p.dispatch(now)
	p.mu.Unlock()
	for _, x := range rescued {
		// Its answer may have begun by now: then that is its own.
		if x.conn.d.Withdraw(&x.call, &pipeline.CallError{Err: pipeline.ErrStalled, Answered: 1}) {
			p.t.stats.rescues.Add(1)
		}
	}
	for _, c := range silent {
		c.d.Close()
	}
	for _, c := range unread {
		c.d.Drop()
	}
}

// learnLate takes note of the heads that have become late, if it is known how long answers
// take, and others can go elsewhere. p.mu is held.
func (p *place) learnLate(now instant) {
	if !p.known.known || p.full() {
		return
	}
	for _, c := range p.conns.carrying() {
		if head := c.line[0]; !head.late && p.late(c, now) {
			head.late = p.known.learnLate(now, p.waits(c, now))
		}
	}
}

// unread returns the connections whose head is late, perhaps because nobody wants to
// read it. p.mu is held.
func (p *place) unread(now instant) (unread []*conn) {
	for _, c := range p.conns.carrying() {
		if p.late(c, now) {
			unread = append(unread, c)
		}
	}
	return unread
}

// rescue chooses those behind late heads who are sent elsewhere, those first who
// wait longest: as many as may be owed, or all if they have waited very
// long. p.mu is held.
func (p *place) rescue(now instant) (rescued []*exchange) {
	if !p.hasRoom(now) {
		return nil // there is no elsewhere
	}
	for _, c := range p.conns.carrying() {
		if c.inFlight < 2 || p.waits(c, now) <= p.known.rescueAfter() {
			continue
		}
		head := c.head()
		for _, x := range c.line {
			if x != head && !x.rescued && x.inPipe.Load() && x.out.rescuable {
				rescued = append(rescued, x)
			}
		}
	}
	slices.SortFunc(rescued, func(a, b *exchange) int { return a.arrived.Compare(b.arrived) })
	rescued = slices.DeleteFunc(rescued, func(x *exchange) bool { return !p.pay(x, now) })
	return rescued
}

// pay reports whether x may be rescued, and takes what that costs. p.mu is held.
func (p *place) pay(x *exchange, now instant) bool {
	if p.known.owed > rescueCredit-1 && p.waits(x.conn, now) <= rescueAnyway {
		return false
	}
	p.known.owed = min(rescueCredit, p.known.owed+1)
	x.rescued = true
	return true
}

// hasRoom reports whether another connection could take a request, or be dialed.
// p.mu is held.
func (p *place) hasRoom(now instant) bool {
	return !p.full() || slices.ContainsFunc(p.conns.all, func(c *conn) bool {
		return !c.exclusive && !c.closing && !p.late(c, now)
	})
}

// silenced returns the connections that pipelining may have silenced, and has their
// heads go alone. p.mu is held.
func (p *place) silenced(now instant) (silent []*conn) {
	for _, c := range p.conns.carrying() {
		if p.silent(c, now) {
			c.head().silent = true
			silent = append(silent, c)
		}
	}
	return silent
}

// head returns the exchange whose response comes next on c, which has some in flight:
// it may have been assigned after others, and submitted before them. p.mu is held.
func (c *conn) head() *exchange {
	call := c.d.Head()
	for _, x := range c.line {
		if &x.call == call {
			return x
		}
	}
	return c.line[0] // about to be submitted
}

// silent reports whether c's head, which was sent behind another or with another
// behind it, has waited so long that pipelining may be the reason. Behind a
// response that is being read, the Driver knows what to do. p.mu is held.
func (p *place) silent(c *conn, now instant) bool {
	head, wait := c.line[0], p.known.patienceWithPair()
	switch {
	case c.pair > 0:
	case head.joined:
		wait = max(wait, rescueAnyway)
	case c.inFlight > 1:
		wait = max(wait, minSilence)
	default:
		return false
	}
	// The head may have been submitted behind others in the line.
	// To end the connection of one that is not replayable would be to fail it.
	spared := func(x *exchange) bool { return x.call.Settled() || !x.out.replayable }
	return p.waits(c, now) > wait && !slices.ContainsFunc(c.line, spared)
}
