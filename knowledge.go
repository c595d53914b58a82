package httppipe

import (
	"cmp"
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
//
// To begin with the pair would save a round trip when many ask at once. But only behind
// the answer to one alone can it be seen that an origin sends octets which nobody has asked
// for: in a pair, they would be taken for the second answer.
type proof uint8

const (
	proofAlone proof = iota // nothing has been answered: one request alone
	proofPair               // one was: a pair of safe requests
	proofOpen               // both were: as deep as it pays
)

// Bounds of what is learnt, and what is assumed before that.
const (
	// minQueue is the least time that a request may be expected to wait behind
	// others on its connection, unless packing has found that it may be longer or
	// should be shorter.
	minQueue = 200 * time.Microsecond

	// evenQueue is the same where there can be no more connections, and hardly any answer
	// is late. To be bound late costs another turn of the caller's goroutine, and a look at
	// all connections: with a fifth of this, 256 callers on one connection took 14 to 18 µs
	// of CPU for each request in place of 11 to 12.
	evenQueue = 20 * minQueue

	// minPatience is the least time after which an answer is late, and minUsual the
	// least after which nothing more is sent behind it. Less is the noise of a busy
	// machine, which has its threads wait for a core for some milliseconds.
	minPatience = 5 * time.Millisecond
	minUsual    = 500 * time.Microsecond

	// maxUsual is the longest that an answer may be due as a matter of course, also
	// where many are slow: whoever is behind such a one waits in vain.
	maxUsual = rescueAnyway / 3

	// unknownUsual is assumed of an origin that has answered once.
	unknownUsual = 5 * time.Millisecond

	// maxLag is the longest pause of this process that counts as usual.
	maxLag = 20 * time.Millisecond

	// minPairWait is the least time that a pair may be silent.
	minPairWait = 250 * time.Millisecond

	// maxStrikes is how many pairs may break their connection, or get no answer
	// where one alone gets one, until the origin counts as unable to pipeline.
	maxStrikes = 2

	// maxStrikesProved is the same once a pair was answered: where a few requests take
	// long, the same may be quick when it is sent again, so that what looked like a
	// pair's fault was chance.
	maxStrikesProved = 4

	// convictedFor is how long that lasts.
	convictedFor = 10 * time.Minute

	// rescueShare is how much of a rescue each answer pays for: a slow server must not get
	// its work twice. rescueCredit is how many may be owed: all behind the head of a
	// connection, when nobody knows yet that heads may be slow.
	rescueShare  = 0.05
	rescueCredit = DefaultMaxPipelineDepth / 4

	// serviceMemory is how many services their mean is taken over, about, or more if
	// they are so short that these take less than serviceTime: answers come in bursts.
	serviceMemory = 16
	serviceTime   = 5 * time.Millisecond

	// maxUnseen is how many answers there are at the most, while everybody goes
	// alone because the service is long, until one is sent behind another to see
	// whether it still is.
	maxUnseen = 256

	// minLasting is how many answers a connection has to give to be worth the steps that
	// show what the peer can. To an origin far away it is lastingFor times as many as there
	// are requests in flight: these lose two round trips when it ends.
	minLasting = 8
	lastingFor = 10

	// maxFruitless is how many connections in a row may end before they have passed these
	// steps, until nobody waits for that.
	maxFruitless = 3

	// loadMemory is how many answers the mean of those in flight is taken over, about.
	loadMemory = 64

	// tailMemory is how many answers the share of late ones is taken over, about. Before there
	// are as many, it is as if there had been tailAssumed more and one of these late: until the
	// first late answer is noticed, there would be one before everybody.
	tailMemory  = 512
	tailAssumed = 64

	// together is how soon after another a late answer comes, if one thing has held
	// up all.
	together = time.Millisecond

	// leastFor is how long the shortest dial tells how long others need: the way may become
	// longer.
	leastFor = time.Minute

	// maxDialPause bounds the pause after dials that failed.
	maxDialPause = time.Second
)

// knowledge is what a place has taught us; it is guarded by place.mu.
//
// How much of an answer's time is the way and how much the service cannot be seen,
// except by a request that was there already when the answer before it left: the
// gap between both answers is the service, whatever the way. Until there was one, it is
// taken for what an answer takes longer than to reach the origin, as far as this machine
// cannot be the reason.
type knowledge struct {
	rtt     time.Duration // the shortest time that an answer to a request alone took
	dial    time.Duration // mean of the times that connections took
	least   time.Duration // the shortest of these in the last minute or so
	leastAt instant       // when it was taken
	way     time.Duration // the shortest time that it took to reach the origin; 0: unknown
	known   bool          // there was an answer
	service time.Duration // mean of the services seen, very long ones cut off
	mean    float64       // the same, to fractions of a nanosecond
	seen    int           // how many services it is taken over
	unseen  int           // answers since a request was last sent behind another
	usual   time.Duration // 19 of 20 answers come less than that after they are due
	tail    float64       // share of late answers
	tailOf  int           // how many answers it is taken over, besides those assumed
	excess  time.Duration // how long after they were due these came, smoothed
	cut     float64       // share of answers that ended their connection before they were complete, with others behind
	owed    float64       // rescues that have not been paid for
	lag     time.Duration // how late this process is itself, smoothed

	packing    packing
	answeredAt instant // when the last answer came
	pausedTill instant // answers that are late until then are late for one reason,
	pauseKnown bool    // which has been counted
	lateKnown  bool    // one that is late has been counted since the last answer

	strikes   int           // see maxStrikes
	proved    bool          // a connection has passed all steps since the last verdict
	pairWait  time.Duration // how long a pair may be silent
	serial    instant       // until when the origin is spoken to one request at a time
	most      int           // exchanges after which it closes connections; 0: unknown
	endedAt   int           // answers that the last connection had given which ended in use
	limited   bool          // so had the one before it, which is no chance
	load      float64       // requests in flight when an answer came, smoothed
	fruitless int           // connections in a row that have ended in use before they passed all steps

	switches     bool // the last connection turned out to speak another protocol, which all share
	dialFailures int  // in a row
	dialAfter    instant
}

// dialed takes note of how long a connection took that is there now.
func (k *knowledge) dialed(now instant, took time.Duration) {
	k.dialFailures, k.switches = 0, false
	if k.dial == 0 {
		k.dial = took
	}
	k.dial += (took - k.dial) / 8
	if took <= k.least || now.Sub(k.leastAt) > leastFor {
		k.least, k.leastAt = took, now
	}
}

// dialsCrowd reports whether dials take longer than they need to because this process has
// more to do than it can.
func (k *knowledge) dialsCrowd() bool { return k.lag >= minUsual && k.dial > 2*k.least+minTick }

// reached takes note of how long it took until octets could be sent to the origin, before
// any TLS: a round trip, if it was not this process that took longer.
func (k *knowledge) reached(took time.Duration) {
	if k.way == 0 || took < k.way {
		k.way = took
	}
}

// distance is how long it takes to reach the origin: a round trip. As long as nothing is
// known of that, it is how long one has waited to reach it.
func (k *knowledge) distance(waited time.Duration) time.Duration {
	return cmp.Or(k.way, k.least, waited) // least of a dial func that does TLS, too
}

// brief reports whether connections to the origin end so soon that nobody should wait until
// one has shown what the peer can.
func (k *knowledge) brief() bool {
	return k.fruitless >= maxFruitless || k.most > 0 && k.most < minLasting || k.tooBriefToShare()
}

// tooBriefToShare reports whether connections to the origin are known to end so soon that they
// are better not shared, as long as there can be others: each end has all of those who share
// begin anew, which takes long where answers do, be it for the way or the handlers.
func (k *knowledge) tooBriefToShare() bool {
	return k.limited && float64(k.most) < lastingFor*k.load && max(k.rtt, k.distance(0)) >= minPatience
}

// ends takes note that the origin has ended a connection in use after n answers, announced or
// without a word, and how far that was trusted. One answer alone may be an error that ends the
// connection.
func (k *knowledge) ends(n int, announced bool, proof proof) {
	if proof != proofOpen {
		k.fruitless++
	}
	k.limited = n > 1 && n == k.endedAt
	k.endedAt = n
	if n > 1 && announced || k.limited {
		k.most = n
	}
}

// dialsSoon reports whether a connection is there so much sooner than an answer that nobody
// should wait for one to see what the origin can.
func (k *knowledge) dialsSoon() bool { return k.known && k.rtt >= k.dial+minPatience }

// dialFailed puts off the next dial: a little longer each time, and not all at once.
func (k *knowledge) dialFailed(now instant) {
	pause := min(maxDialPause, 10*time.Millisecond<<min(k.dialFailures, 10))
	k.dialFailures++
	k.dialAfter = now.Add(pause/2 + rand.N(pause/2))
}

// dialsFail reports whether another dial should wait because of those that failed.
func (k *knowledge) dialsFail(now instant, dialing int) bool {
	return now.Before(k.dialAfter) || k.dialFailures > 0 && dialing > 0
}

// convict takes note of a pair that has broken its connection, or was silent where
// one alone was not.
func (k *knowledge) convict(now instant) {
	limit := maxStrikes
	if k.proved {
		limit = maxStrikesProved
	}
	if k.strikes++; k.strikes >= limit {
		k.strikes, k.proved = 0, false
		k.serial = now.Add(convictedFor)
	}
}

// canPipeline reports whether more than one request may be in flight.
func (k *knowledge) canPipeline(now instant) bool { return now.After(k.serial) }

// answered takes note of an answer that came now, took after its request was assigned,
// and gap after the answer before it, or after the assignment if there was none. If
// it was found, because nobody was there to see it come, it came earlier than that.
// counted says that learnLate has counted it among the late ones.
func (k *knowledge) answered(now instant, took, gap time.Duration, found, counted bool) {
	if gap >= took && (k.rtt == 0 || took < k.rtt) {
		k.rtt = took // it was alone
	}
	if k.seen == 0 {
		k.service = k.guess() // nothing more is known
	}
	k.unseen++
	k.cut -= k.cut / tailMemory
	k.owed = max(0, k.owed-rescueShare)
	served := took - k.rtt
	if gap < took {
		served = min(served, gap-k.service)
	}
	if !k.known {
		k.known, k.usual, k.tail = true, unknownUsual, k.assumedTail()
	}
	switch {
	case gap > took-k.rtt:
	case !found:
		k.learnService(gap)
	case k.seen > 0 || k.service > 0:
		k.learnService(min(gap, k.service)) // it took no longer than that
	}
	k.learnTail(now, served, found, counted)
	// One that took very long says no more than one that took a little too long:
	// the usual time goes up by 19 parts or down by one, in balance if one of 20
	// is longer.
	const part = 1. / 128
	if step := float64(k.usual) * part; served > k.usual {
		k.usual = min(maxUsual, k.usual+time.Duration(19*step))
	} else {
		k.usual = max(minUsual, k.usual-time.Duration(step))
	}
}

// guess is the service as far as answers to requests alone show it: what they take longer
// than to reach the origin, if this machine cannot be the reason.
func (k *knowledge) guess() time.Duration {
	if k.way == 0 {
		return 0
	}
	return max(0, k.rtt-k.way-minPatience)
}

// learnService takes note of a service that was seen.
func (k *knowledge) learnService(service time.Duration) {
	k.seen = min(k.seen+1, max(serviceMemory, quotient(serviceTime, k.service)))
	if k.seen > 1 {
		service = min(service, max(k.usual, 2*k.service))
	}
	k.mean += (float64(service) - k.mean) / float64(k.seen)
	k.service = time.Duration(k.mean)
}

// learnLate takes note of an answer that is late before it comes, which may take long, and
// meanwhile others would be sent behind each other as if none ever was. It reports whether
// that counts: of those late while none comes on any connection, one does.
func (k *knowledge) learnLate(now instant, waits time.Duration) bool {
	if k.lateKnown && now.Sub(k.answeredAt) > k.patience()/2 {
		return false
	}
	k.lateKnown = true
	k.tail = min(1, k.tail+k.tailPart()) // some never come, and nothing is to be taken off for these
	k.excess = cmp.Or(k.excess, waits)
	return true
}

// learnTail takes note of whether an answer was late; others who waited behind it
// know that. If it was found, this process was. Late answers that come together, after a
// time in which none came on any connection, were held up by one thing, and count as one.
// counted says that learnLate has counted it before.
func (k *knowledge) learnTail(now instant, served time.Duration, found, counted bool) {
	if now.Sub(k.answeredAt) > k.patience()/2 {
		k.pausedTill, k.pauseKnown = now.Add(together), false
	}
	k.answeredAt, k.lateKnown = now, false
	part := k.tailPart()
	k.tail -= part * k.tail
	k.tailOf = min(k.tailOf+1, tailMemory)
	inPause := now.Before(k.pausedTill)
	counts := served > k.patience() && !found && !(inPause && k.pauseKnown)
	switch {
	case counts && !counted:
		k.tail += part
	case counted && !counts:
		k.tail = max(0, k.tail-part)
	}
	if counts {
		k.excess += (served - k.excess) / 8
		k.pauseKnown = inPause
	}
}

// assumedTail is the share of late answers that is assumed of an origin that has answered once.
// The farther away it is, the less it matters that some are, and the longer a dial takes.
func (k *knowledge) assumedTail() float64 {
	return min(1, float64(unknownUsual)/float64(k.rtt)) / tailAssumed
}

// tailPart is how much the next answer counts for tail.
func (k *knowledge) tailPart() float64 { return 1 / float64(min(tailMemory, tailAssumed+k.tailOf)) }

// patience is how long an answer may be due until it is late: those behind are then
// sent elsewhere.
func (k *knowledge) patience() time.Duration {
	if !k.known {
		return 3 * unknownUsual
	}
	return max(minPatience, 3*k.usual, 4*k.lag)
}

// rescueAfter is how long an answer may be due until those behind it are sent again
// elsewhere. That costs them a round trip: it is done as soon as the answer is late, if late
// answers take longer than that on average, and otherwise when this one has.
func (k *knowledge) rescueAfter() time.Duration {
	if k.excess > k.rtt {
		return k.patience()
	}
	return max(k.patience(), min(k.rtt, rescueAnyway))
}

// learnLag takes note of how late a timer of ours has fired, or how long others ran
// before a request could leave. What takes as long is none of the origin's doing, and no
// connection makes it shorter.
func (k *knowledge) learnLag(lag time.Duration) {
	k.lag += (min(lag, maxLag) - k.lag) / 8
}

// queue is how long a request may be expected to wait behind others while there
// could be more connections, if minQueue is doubled so often: little, compared with the
// round trip that it takes. So slow handlers are spread as with net/http.
func (k *knowledge) queue(doubled int) time.Duration {
	return max(minQueue<<max(doubled, 0)>>max(-doubled, 0), 4*k.lag, k.rtt/4)
}

// packed is how many requests may be in flight on a connection while there could
// be more.
func (k *knowledge) packed() int {
	if k.tooBriefToShare() {
		return 1
	}
	return min(k.orToSee(k.usuallyPacked()), spared(k.cut))
}

// usuallyPacked is packed, but for the one that is to show how long the service is: whether
// others go elsewhere has nothing to do with it.
func (k *knowledge) usuallyPacked() int { return k.packedIf(k.doublings()) }

// orToSee returns depth; or 2 in place of 1, if it is time to see again how long the
// service is, which one behind another shows. If it was seen a few times only, that is
// soon, unless those alone show it, too. These need not: what answers take longer than
// to reach the origin may be the way behind something near, such as a proxy.
func (k *knowledge) orToSee(depth int) int {
	after := maxUnseen
	if k.seen == 0 || k.guess() == 0 {
		after = min(maxUnseen, 8<<min(k.seen, serviceMemory))
	}
	if depth == 1 && k.unseen >= after {
		return 2
	}
	return depth
}

// packedIf is packed with minQueue doubled so often. Each request adds its service to the
// time that the next one is expected to wait, and the chance that it is late and that one
// has to go elsewhere.
func (k *knowledge) packedIf(doubled int) int {
	risk := k.risk(min(k.excess, k.patience()+k.rtt+k.service))
	return min(spared(k.tail+k.cut), 1+quotient(k.queue(doubled), k.service+risk))
}

// filled is how many requests may be in flight on a connection when there can be
// no more: as many as keep it busy, unless one that loses time behind late answers loses
// more, on average, than a busy connection gains. Whatever exceeds that is better bound
// late: where hardly any answers are, only if the wait is so long that it matters which
// connection is free first.
func (k *knowledge) filled(loses bool) int {
	wait := minQueue
	if k.tail <= maxPackTail/4 { // by chance it is less than expected for a while
		wait = evenQueue
	}
	gain, risk := k.rtt+wait, k.risk(k.excess)
	if loses && risk > gain {
		return k.orToSee(1)
	}
	return 2 + quotient(gain, k.service+risk)
}

// crowded is how many requests may be in flight on a connection while another is
// being dialed, since one has waited for it: more of them would wait longer than for that.
func (k *knowledge) crowded(waited time.Duration) int {
	return 1 + quotient(max(0, k.dial-waited), k.service+k.risk(k.excess))
}

// risk is how long an answer holds up the next one by being late, on average, if
// that loses so much when it is.
func (k *knowledge) risk(lost time.Duration) time.Duration {
	return time.Duration(k.tail * float64(lost))
}

// spared is how many requests may be in flight on a connection where those behind such a
// share of answers have to be sent again, as what answers pay for suffices for no more. On
// average there are fewer than the most.
func spared(share float64) int {
	if share == 0 {
		return math.MaxInt16
	}
	return 1 + int(min(math.MaxInt16, 1.25*rescueShare/share))
}

// quotient is a/b, and very many for b that is nearly nothing.
func quotient(a, b time.Duration) int {
	if b <= a/math.MaxInt16 {
		return math.MaxInt16
	}
	return int(a / b)
}

// pairPause is how long a request waits for another with which it could prove that
// the peer can pipeline, before it joins one that is in flight.
func (k *knowledge) pairPause() time.Duration { return max(minTick, k.rtt/4) }

// coldPause is how long a request waits for a first connection, or a place on an unproven
// one, before the origin is taken for so far away that more should be dialed.
func (k *knowledge) coldPause() time.Duration { return max(minPatience, k.rtt/4) }

// patienceForDial is how long an answer may be due until who waits for it is better off with
// a dial, however long answers usually take.
func (k *knowledge) patienceForDial() time.Duration {
	return min(k.patience(), max(minPatience, k.dial, 4*k.lag))
}

// patienceWithPair is how long a pair may be silent.
func (k *knowledge) patienceWithPair() time.Duration {
	return max(minPairWait, 8*k.rtt, k.pairWait)
}

// judge compares the answer to a request alone with that to the same one in a pair, which
// was silent: if it came in time, the pair was the reason; if not, the origin is slow, and
// pairs are given more time.
func (k *knowledge) judge(took time.Duration, now instant) {
	if took < k.patienceWithPair() {
		k.convict(now)
	} else {
		k.pairWait = 2 * took
	}
}

// learnAnswer takes note that x has left c; p.mu is held.
func (p *place) learnAnswer(c *conn, x *exchange, now instant) {
	took, gap := now.Sub(x.assigned), now.Sub(c.turn)
	if c.ended || x.call.Response.StatusCode == 0 {
		c.unanswered = true
		return // it was lost, or nobody wanted the answer
	}
	// Content that was read from the connection has come later than its head.
	p.known.answered(now, took, gap, x.call.Found && x.call.Complete(), x.late)
	p.known.load += (float64(p.inFlight) - p.known.load) / loadMemory
	if x.call.Cut && len(c.line) > 1 {
		p.known.cut += 1. / tailMemory
	}
	if x.shares() {
		p.known.weigh(now, x.arrived, x.crowded, p.inFlight)
	}
	if x.call.Yielded > 0 {
		p.known.learnLag(x.call.Yielded)
	}
	if x.call.Complete() {
		c.keep.heed(c.gone, &x.call.Response)
	}
	c.answered++
	if c.answered > p.known.most {
		p.known.most, p.known.limited = 0, false
	}
	if c.proof == proofAlone {
		c.proof = proofPair
	}
	if x.accuses {
		p.known.judge(took, now)
	}
	if c.pair > 0 {
		// Some origins lose one of two that arrive in one segment, and no others.
		if c.pair--; c.pair == 0 && (c.oneWrite || x.out.vouched) {
			p.conns.proved(c)
			p.tried = nil
			p.known.strikes, p.known.proved = 0, true
		}
	}
	if c.proof == proofOpen {
		p.known.fruitless = 0
	}
}

// learnEnd takes note that c has ended; p.mu is held.
func (p *place) learnEnd(c *conn, err error) {
	now := clock()
	ours := errors.Is(err, pipeline.ErrRetired) || errors.Is(err, net.ErrClosed)
	if !ours && c.unanswered && c.answered > 0 {
		p.known.ends(c.answered, false, c.proof)
	}
	switch {
	case errors.Is(err, pipeline.ErrSurplus):
		// It sends what nobody asked for: never let that meet a request.
		p.known.serial = now.Add(convictedFor)
	case c.pair > 0 && !ours:
		p.known.convict(now) // the peer has ended it, and did not say that it would
	}
}

// learnClose takes note that the origin closes c in good order, after its answer to
// x: nothing is sent beyond as many from now on.
func (c *conn) learnClose(x *exchange) {
	p := c.place
	if p == nil {
		return // a connection outside of any pool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := c.answered
	if slices.Contains(c.line, x) {
		n++ // its content is still to be read
	}
	p.known.ends(n, true, c.proof)
}
