package httppipe

import (
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/httppipe/httppipe/pipeline"
)

// proof says how far a connection is trusted with pipelining. Each goes through
// the steps again, because one origin may be many servers.
type proof uint8

const (
	proofAlone proof = iota // nothing has been answered: one request alone
	proofPair               // one was: a pair of safe requests
	proofOpen               // both were: as deep as it pays
)

// Bounds of what is learnt, and what is assumed before that.
const (
	// minDialCost is what a connection is worth at least: below that, more of
	// them only make each write smaller.
	minDialCost = 5 * time.Millisecond

	// minPatience is the least time after which an answer is late. Less is the
	// noise of a busy machine.
	minPatience = 2 * time.Millisecond

	// unknownPatience is that time as long as nothing is known.
	unknownPatience = 20 * time.Millisecond

	// minPairWait is the least time that a pair may be silent.
	minPairWait = 250 * time.Millisecond

	// maxStrikes is how many pairs may break their connection, or get no answer
	// where one alone gets one, until the origin counts as unable to pipeline.
	maxStrikes = 2

	// convictedFor is how long that lasts.
	convictedFor = 10 * time.Minute

	// rescueShare is how much of a rescue each answer pays for, and rescueCredit
	// how much can be saved up: a slow server must not get its work twice.
	rescueShare  = 0.05
	rescueCredit = 16

	// tailMemory is how many answers the share of late ones is taken over, about.
	tailMemory = 512

	// rescueAnyway is how late an answer may be until those behind it are sent
	// elsewhere without regard to that.
	rescueAnyway = time.Second

	// minSilence is the least time that a head which was sent first may get no
	// answer because of those behind it.
	minSilence = 10 * time.Second

	// maxSkipped is how many times in a row a timer that comes late itself is
	// taken for the reason why answers are.
	maxSkipped = 2

	// maxDialPause bounds the pause after dials that failed.
	maxDialPause = time.Second
)

// knowledge is what a place has taught us; it is guarded by place.mu.
type knowledge struct {
	rtt     time.Duration // the shortest time that an answer took, or a connection
	service time.Duration // from one answer to the next, smoothed
	took    time.Duration // from a request to its answer, smoothed
	dev     time.Duration // how much that varies
	credit  float64       // rescues that have been paid for
	tail    float64       // share of answers that are so late that others are held up

	strikes  int           // see maxStrikes
	accused  bool          // a pair was silent: how long does one alone take?
	pairWait time.Duration // how long a pair may be silent
	serial   time.Time     // until when the origin is spoken to one request at a time
	most     int           // exchanges after which it closes connections; 0: unknown

	dialFailures int // in a row
	dialAfter    time.Time
}

// dialed takes note of how long a connection took.
func (k *knowledge) dialed(took time.Duration) {
	k.dialFailures = 0
	if k.rtt == 0 || took < k.rtt {
		k.rtt = took
	}
}

// dialFailed puts off the next dial: a little longer each time, and not all at once.
func (k *knowledge) dialFailed(now time.Time) {
	pause := min(maxDialPause, 10*time.Millisecond<<min(k.dialFailures, 10))
	k.dialFailures++
	k.dialAfter = now.Add(pause/2 + rand.N(pause/2))
}

// dialsFail reports whether another dial should wait because of those that failed.
func (k *knowledge) dialsFail(now time.Time, dialing int) bool {
	return now.Before(k.dialAfter) || k.dialFailures > 0 && dialing > 0
}

// convict takes note of a pair that has broken its connection, or was silent where
// one alone was not.
func (k *knowledge) convict(now time.Time) {
	if k.strikes++; k.strikes >= maxStrikes {
		k.strikes = 0
		k.serial = now.Add(convictedFor)
	}
}

// answered takes note of an answer that came took after its request was assigned,
// and gap after the answer before it, or after the assignment if there was none.
func (k *knowledge) answered(took, gap time.Duration, alone bool) {
	if alone && (k.rtt == 0 || took < k.rtt) {
		k.rtt = took
	}
	// What a round trip explains is no service time.
	service := max(0, min(gap, took-k.rtt))
	if k.took > 0 {
		// One pause, of the origin or of this process, is no trend.
		service = min(service, 2*k.service+50*time.Microsecond)
	}
	k.service += (service - k.service) / 8
	k.credit = min(rescueCredit, k.credit+rescueShare)
	if k.took == 0 {
		k.took, k.dev = took, took/2
		return
	}
	// One answer that took very long says little about the next.
	off := min(took-k.took, 4*k.patience())
	k.took += off / 8
	k.dev += (max(off, -off) - k.dev) / 4
}

// patience is how long a head may take, beyond the usual time and what was in
// front of it, before it is late.
func (k *knowledge) patience() time.Duration {
	if k.took == 0 {
		return unknownPatience
	}
	return max(minPatience, 4*k.dev)
}

// dialCost is how long it takes until a new connection has answered, beyond what
// the answer takes anyway.
func (k *knowledge) dialCost() time.Duration { return max(minDialCost, 2*k.rtt) }

// canPipeline reports whether more than one request may be in flight.
func (k *knowledge) canPipeline(now time.Time) bool { return now.After(k.serial) }

// choose returns the best connection for x that there is, or nil if x should
// wait. p.mu is held.
//
// Shared traffic is packed, so that idle connections stay idle for those who
// need one for themselves. A connection whose head is late gets nothing: what is
// queued behind an answer that turns out slow is lost, so requests are bound
// late.
func (p *place) choose(x *exchange) *conn {
	if !x.shares() {
		return p.chooseIdle(true, x.fresh)
	}
	now := time.Now()
	var best *conn
	var bestWait time.Duration
	for _, c := range p.conns {
		if !p.canJoin(c, x, now) {
			continue
		}
		if wait := time.Duration(c.inFlight) * p.known.service; best == nil || wait < bestWait {
			best, bestWait = c, wait
		}
	}
	if best != nil && bestWait <= max(minDialCost, p.known.rtt/4) {
		return best
	}
	if idle := p.chooseIdle(false, false); idle != nil {
		return idle
	}
	if best != nil && (bestWait <= p.known.dialCost() || p.full()) {
		return best
	}
	return nil
}

// canJoin reports whether x may be sent behind what is in flight on c.
func (p *place) canJoin(c *conn, x *exchange, now time.Time) bool {
	return c.inFlight > 0 && !c.ended && !c.exclusive && !c.barrier && !c.closing &&
		c.origin == x.route.addr &&
		c.inFlight < p.depthOf(c, x, now) &&
		!p.late(c, now) &&
		!c.spent() &&
		c.d.Usable()
}

// depthOf is how many exchanges may be in flight on c when x joins.
func (p *place) depthOf(c *conn, x *exchange, now time.Time) int {
	depth := p.t.depth()
	switch {
	case !p.known.canPipeline(now):
		return 1
	case c.proof == proofAlone:
		return 1
	case c.pair > 0:
		return 1 // to see the pair through
	case c.proof == proofPair:
		// Only a pair in one write proves anything, but nobody waits long for that.
		if !x.waiting || now.Sub(x.since) < max(time.Millisecond, p.known.rtt/4) {
			return 1
		}
		return min(depth, 2)
	}
	depth = min(depth, p.known.depth())
	if p.known.most > 0 {
		depth = min(depth, max(1, p.known.most-c.answered))
	}
	return depth
}

// depth is how many requests may be in flight on a connection so that all those
// who wait behind an answer that turns out late can be rescued: the longer the
// tail, the fewer.
func (k *knowledge) depth() int {
	if k.tail < rescueShare/DefaultMaxPipelineDepth {
		return math.MaxInt
	}
	return 1 + int(rescueShare/k.tail)
}

// chooseIdle returns the idle connection used last, or nil. fresh asks for one that
// was never used.
func (p *place) chooseIdle(alone, fresh bool) *conn {
	var best *conn
	for _, c := range p.conns {
		if c.inFlight > 0 || c.ended || c.closing || c.barrier && !alone || fresh && c.reused || c.spent() {
			continue
		}
		if best == nil || c.idleSince.After(best.idleSince) {
			best = c
		}
	}
	return best
}

// full reports whether there can be no more connections.
func (p *place) full() bool {
	limit := p.t.MaxConnsPerHost
	return limit > 0 && p.total() >= limit
}

// unprovenConns is how many connections an origin gets while none of them has
// shown that it can pipeline: with more callers than that a pair comes about.
const unprovenConns = 2

// needed is how many dials should be under way for those who wait. p.mu is held.
func (p *place) needed() int {
	alone, shared := p.alone.len(), p.shared.len()
	if shared == 0 {
		return alone
	}
	now := time.Now()
	if !p.known.canPipeline(now) || p.t.depth() == 1 {
		return alone + shared // as net/http
	}
	// A dial helps whoever would wait longer than that takes: slow handlers are
	// spread as with net/http. How long a queue takes is known; of a head that
	// is late it can only be guessed that it goes on, so that this is answered
	// by doubling.
	queued, stuck, sharing := true, true, 0
	for _, c := range p.conns {
		if c.exclusive {
			continue
		}
		sharing++
		long := time.Duration(c.inFlight)*p.known.service > p.known.dialCost()
		late := c.inFlight > 0 && p.waits(c, now) > max(p.known.patience(), minDialCost)
		queued = queued && long
		stuck = stuck && (long || late)
	}
	switch {
	case sharing == 0:
		return alone + 1 // prove an unknown origin first
	case queued:
		return alone + shared
	case stuck:
		return alone + min(shared, sharing)
	case p.proven():
		return alone + (shared+p.t.depth()-1)/p.t.depth()
	}
	return alone + max(0, min(shared, unprovenConns-sharing))
}

// waits is how long c's head takes beyond the usual time and what was in front of
// it.
func (p *place) waits(c *conn, now time.Time) time.Duration {
	due := c.line[0].assigned.Add(max(p.known.took, p.known.rtt))
	if c.turn.After(due) {
		due = c.turn
	}
	return now.Sub(due)
}

// late reports whether c's head is overdue.
func (p *place) late(c *conn, now time.Time) bool {
	if c.inFlight == 0 {
		return false
	}
	return p.waits(c, now) > p.known.patience()
}

// proven reports whether some connection has passed all steps.
func (p *place) proven() bool {
	for _, c := range p.conns {
		if c.proof == proofOpen {
			return true
		}
	}
	return false
}

// tick looks again soon, as long as somebody waits for a connection or behind
// another. p.mu is held.
func (p *place) tick() {
	if p.ticking || p.shared.first == nil && p.alone.first == nil && !p.behind() {
		return
	}
	p.ticking = true
	wait := max(time.Millisecond, p.known.patience()/2)
	p.tickAt = time.Now().Add(wait)
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tock)
	} else {
		p.timer.Reset(wait)
	}
}

// behind reports whether a request is behind another, or was when it was sent.
// p.mu is held.
func (p *place) behind() bool {
	for _, c := range p.conns {
		if c.inFlight > 1 || c.inFlight > 0 && (c.pair > 0 || c.line[0].joined) {
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
	now := time.Now()
	if late := now.Sub(p.tickAt) > max(time.Millisecond, p.known.patience()/2); late && p.skipped < maxSkipped {
		// This process had no time to run: it may be late, and not the origin.
		p.skipped++
		p.dispatch()
		p.mu.Unlock()
		return
	}
	p.skipped = 0
	var rescued []*exchange
	var silent []*conn
	for _, c := range p.conns {
		switch {
		case c.inFlight == 0, c.ended:
		case p.silent(c, now):
			p.known.accused = true
			c.line[0].silent = true
			silent = append(silent, c)
		case c.pair == 0 && p.late(c, now):
			rescued = append(rescued, p.rescue(c, now)...)
		}
	}
	p.dispatch()
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
}

// silent reports whether c's head, which was sent behind another or with another
// behind it, has waited so long that pipelining may be the reason. Behind a
// response that is being read, the Driver knows what to do. p.mu is held.
func (p *place) silent(c *conn, now time.Time) bool {
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
	begun := func(x *exchange) bool { return x.call.Settled() }
	return p.waits(c, now) > wait && !slices.ContainsFunc(c.line, begun)
}

// rescue chooses those behind c's late head who are sent elsewhere: as many as
// have been paid for, or all if they have waited very long. p.mu is held.
func (p *place) rescue(c *conn, now time.Time) (rescued []*exchange) {
	if !p.hasRoom(now) {
		return nil // there is no elsewhere
	}
	anyway := p.waits(c, now) > rescueAnyway
	for _, x := range c.line[1:] {
		if x.rescued || !x.inPipe.Load() || !x.out.rescuable || p.known.credit < 1 && !anyway {
			continue
		}
		p.known.credit = max(0, p.known.credit-1)
		x.rescued = true
		rescued = append(rescued, x)
	}
	return rescued
}

// hasRoom reports whether another connection could take a request, or be dialed.
// p.mu is held.
func (p *place) hasRoom(now time.Time) bool {
	return !p.full() || slices.ContainsFunc(p.conns, func(c *conn) bool {
		return !c.exclusive && !c.ended && !c.closing && !p.late(c, now)
	})
}

// patienceWithPair is how long a pair may be silent.
func (k *knowledge) patienceWithPair() time.Duration {
	return max(minPairWait, 8*k.rtt, k.pairWait)
}

// learnAnswer takes note that x has left c; p.mu is held.
func (p *place) learnAnswer(c *conn, x *exchange) {
	now := time.Now()
	took, gap := now.Sub(x.assigned), now.Sub(c.turn)
	late := p.late(c, now)
	c.turn = now
	if c.ended || x.call.Response.StatusCode == 0 {
		return // it was lost, or nobody wanted the answer
	}
	p.known.tail -= p.known.tail / tailMemory
	if late {
		p.known.tail += 1.0 / tailMemory
	}
	if x.call.Complete() {
		// Others took as long as their caller took to read them.
		p.known.answered(took, gap, gap >= took)
		c.keep.heed(x.nth, x.call.Response.Header)
	}
	c.answered++
	if c.answered > p.known.most {
		p.known.most = 0
	}
	if c.proof == proofAlone {
		c.proof = proofPair
		p.judge(took, now)
	}
	if c.pair > 0 {
		// Some origins lose one of two that arrive in one segment, and no others.
		if c.pair--; c.pair == 0 && (c.oneWrite || x.out.vouched) {
			c.proof = proofOpen
			p.known.strikes = 0
		}
	}
}

// judge compares an answer to a request alone, after a pair was silent: if it came
// in time, the pair was the reason; if not, the origin is slow, and pairs are
// given more time. p.mu is held.
func (p *place) judge(took time.Duration, now time.Time) {
	if !p.known.accused {
		return
	}
	p.known.accused = false
	if took < p.known.patienceWithPair() {
		p.known.convict(now)
	} else {
		p.known.pairWait = 2 * took
	}
}

// learnEnd takes note that c has ended; p.mu is held.
func (p *place) learnEnd(c *conn, err error) {
	now := time.Now()
	switch {
	case errors.Is(err, pipeline.ErrSurplus):
		// It sends what nobody asked for: never let that meet a request.
		p.known.serial = now.Add(convictedFor)
	case c.pair > 0 && !errors.Is(err, pipeline.ErrRetired) && !errors.Is(err, net.ErrClosed):
		p.known.convict(now) // the peer has ended it, and did not say that it would
	}
}

// learnClose takes note that the origin closes c in good order, after its answer to
// x: nothing is sent beyond as many from now on.
func (c *conn) learnClose(x *exchange) {
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	n := c.answered
	if slices.Contains(c.line, x) {
		n++ // its content is still to be read
	}
	if n > 1 {
		p.known.most = n
	}
}
