package httppipe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/pipeline"
)

// headDriver knows only which call is the head.
type headDriver struct {
	simDriver
	head *pipeline.Call
}

func (d *headDriver) Head() *pipeline.Call { return d.head }
func (d *headDriver) Retire()              {}

// newTestPlace returns a place whose timer can be set, and does nothing: what comes at
// its time is for the tests themselves to call.
func newTestPlace(tr *Transport) *place {
	p := &place{t: tr, timer: time.AfterFunc(time.Hour, func() {})}
	p.timer.Stop()
	return p
}

// connsOf is a place's connections.
func connsOf(all ...*conn) (s connSet) {
	for _, c := range all {
		s.add(c)
		if c.inFlight > 0 {
			s.took(c)
		}
	}
	return s
}

// A slow request that was assigned after another one, but submitted before it, used to
// be sent again itself, while the one behind it waited.
func TestRescueSparesTheHead(t *testing.T) {
	began := clock()
	exchanges := make([]*exchange, 3)
	for i := range exchanges {
		exchanges[i] = &exchange{out: &outgoing{rescuable: true}, assigned: began, arrived: began.Add(time.Duration(i))}
		exchanges[i].inPipe.Store(true)
	}
	p := newTestPlace(new(Transport))
	d := &headDriver{head: &exchanges[1].call}
	c := &conn{place: p, d: d, line: exchanges, inFlight: 3, proof: proofOpen}
	p.conns = connsOf(c)
	for _, x := range exchanges {
		x.conn = c
	}
	rescued := p.rescue(began.Add(time.Minute))
	require.Equal(t, []*exchange{exchanges[0], exchanges[2]}, rescued)
	require.Empty(t, p.rescue(began.Add(time.Minute)), "they are on their way already")
}

// All behind a head that is late are sent elsewhere when nobody knew that heads may be, and
// after that as many as answers pay for: one of twenty.
func TestRescuesAreOwed(t *testing.T) {
	began := clock()
	p := newTestPlace(new(Transport))
	p.known.known, p.known.usual = true, time.Millisecond
	late := began.Add(p.known.patience() + 1)
	behind := func(n int) *conn {
		c := &conn{place: p, d: new(headDriver), proof: proofOpen}
		p.conns.add(c)
		for range n + 1 {
			x := &exchange{out: &outgoing{shareable: true, rescuable: true}, route: new(route)}
			x.inPipe.Store(true)
			p.assign(x, c, began)
		}
		c.d.(*headDriver).head = &c.line[0].call
		return c
	}
	behind(new(Transport).depth() - 1)
	require.Len(t, p.rescue(late), 63)
	behind(63)
	require.Len(t, p.rescue(late), 1)
	require.Empty(t, p.rescue(late))
	for range 101 {
		p.known.answered(late, time.Millisecond, time.Millisecond, false, false)
	}
	require.Len(t, p.rescue(late.Add(2*time.Millisecond)), 5)
	require.Len(t, p.rescue(began.Add(rescueAnyway+10*time.Second)), 57, "who has waited so long need not be paid for")
	require.EqualValues(t, rescueCredit, p.known.owed, "but no more is owed for it")
	for range 100 * rescueCredit {
		p.known.answered(late, time.Millisecond, time.Millisecond, false, false)
	}
	behind(63)
	behind(63)
	require.Len(t, p.rescue(late.Add(2*time.Millisecond)), rescueCredit)
}

// Each head that is late counts once, however often it is looked at, and whenever it comes.
func TestEachLateHeadCountsOnce(t *testing.T) {
	now := clock()
	p, a, b, get := twoConns(new(Transport))
	p.known.usual, p.known.tailOf = time.Millisecond, tailMemory
	head, other := get(), get()
	p.assign(head, a, now)
	p.assign(other, b, now.Add(time.Hour))
	now = now.Add(time.Second)
	p.known.answeredAt = now // elsewhere
	p.known.known = false
	p.learnLate(now)
	require.False(t, head.late, "how long the first answer of all takes is not known")
	p.known.known, p.t.MaxConnsPerHost = true, 2
	p.learnLate(now)
	require.False(t, head.late, "there can be no more connections")
	p.t.MaxConnsPerHost = 0
	for range 3 {
		p.learnLate(now)
	}
	require.InDelta(t, 1, p.known.tail*tailMemory, .01)
	require.True(t, head.late)
	require.False(t, other.late)
	head.call.Response.StatusCode = 200
	p.learnAnswer(a, head, now)
	require.InDelta(t, 1, p.known.tail*tailMemory, .01)
}

// The second of a pair that was to prove a new connection used to wait for as long as a
// pair may be silent, when the first took long.
func TestRescueFromAPair(t *testing.T) {
	began := clock()
	p := newTestPlace(new(Transport))
	p.known.known, p.known.usual = true, time.Millisecond
	d := new(headDriver)
	c := &conn{place: p, d: d, proof: proofPair}
	p.conns = connsOf(c)
	var pair [2]*exchange
	for i := range pair {
		pair[i] = &exchange{out: &outgoing{shareable: true, rescuable: true}, route: new(route)}
		pair[i].inPipe.Store(true)
		p.assign(pair[i], c, began)
	}
	d.head = &pair[0].call
	require.Equal(t, 2, c.pair)
	require.Empty(t, p.rescue(began.Add(p.known.patience())))
	require.Equal(t, pair[1:], p.rescue(began.Add(p.known.patience()+1)))
}

// While all that is in flight is still to be due, there is nothing to look at: the timer
// used to come some times in each round trip.
func TestTimerComesWhenAHeadBecomesLate(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	p.known.known, p.known.usual, p.known.rtt = true, time.Millisecond, 50*time.Millisecond
	c := &conn{place: p, d: new(headDriver), proof: proofOpen}
	p.conns = connsOf(c)
	get := func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: new(route)} }
	late := p.known.rtt + p.known.patience()
	p.assign(get(), c, now)
	p.assign(get(), c, now)
	require.Equal(t, late, p.tickAt.Sub(now))
	now = now.Add(20 * time.Millisecond)
	p.assign(get(), c, now)
	require.Equal(t, late-20*time.Millisecond, p.tickAt.Sub(now), "the head is still the same")
	p.leave(c, 0, now)
	p.leave(c, 0, now)
	require.Equal(t, late-20*time.Millisecond, p.tickAt.Sub(now), "it comes too early, but not too late")
	p.tickAt = now.Add(time.Hour) // put off while a head was very late
	p.assign(get(), c, now)
	require.Equal(t, late, p.tickAt.Sub(now))
}

// A connection that is about to close, and was never proved, is none that others may
// wait for.
func TestConnectionThatClosesHoldsBackNoDial(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	p.known.known, p.known.rtt, p.known.service, p.known.usual = true, time.Millisecond, 50*time.Microsecond, time.Millisecond
	r := &route{addr: "o"}
	late := &conn{place: p, d: new(headDriver), proof: proofOpen, origin: r.addr}
	p.conns = connsOf(late, &conn{place: p, d: new(headDriver), proof: proofPair, closing: true, reused: true})
	p.assign(&exchange{out: &outgoing{shareable: true}, route: r}, late, now.Add(-10*time.Second))
	x := &exchange{out: &outgoing{shareable: true}, route: r, arrived: now, since: now, waiting: true}
	p.shared.push(x)
	require.Nil(t, p.choose(x, now))
	require.Equal(t, 1, p.needed(now))
}

// With more callers than the machine has time for, answers wait for this process: more
// connections would not bring them sooner.
func TestHowLongRequestsGiveWayIsTakenForLateness(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	c := &conn{place: p, d: new(headDriver), proof: proofOpen}
	p.conns = connsOf(c)
	for range 32 {
		x := &exchange{out: &outgoing{shareable: true}, route: new(route)}
		p.assign(x, c, now)
		x.call.Yielded = 4 * time.Millisecond
		x.call.Response.StatusCode = 200
		p.learnAnswer(c, x, now.Add(time.Millisecond))
		p.leave(c, 0, now.Add(time.Millisecond))
	}
	require.InDelta(t, 4*time.Millisecond, p.known.lag, float64(time.Millisecond)/8)
	require.Greater(t, p.known.queue(0), 8*time.Millisecond)
}

// While a request waited behind a response without end, the Transport looked at it a
// thousand times a second.
func TestLongWaitTakesFewLooks(t *testing.T) {
	began := clock()
	head, waiting := new(exchange), &exchange{waiting: true, arrived: began, since: began}
	c := &conn{inFlight: 1, line: []*exchange{head}, turn: began}
	head.assigned = began
	p := newTestPlace(&Transport{MaxConnsPerHost: 1})
	p.conns = connsOf(c)
	p.shared.push(waiting)
	looks, longest := 0, time.Duration(0)
	for now := began; now.Sub(began) < time.Hour; looks++ {
		wait := p.untilLook(now)
		require.LessOrEqual(t, wait, max(p.known.patience(), now.Sub(began)/8))
		longest = max(longest, wait)
		now = now.Add(wait)
	}
	require.Less(t, looks, 150)
	require.Greater(t, longest, time.Minute)
}

// A request used to be sent behind its own first copy, which was still to be answered.
func TestBehindUnwantedOnlyIfThereIsNoOther(t *testing.T) {
	now := clock()
	r := &route{addr: "o"}
	get := func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r} }
	for limit, want := range map[int]bool{0: false, 1: true} {
		p := newTestPlace(&Transport{MaxConnsPerHost: limit})
		p.known.known, p.known.usual = true, time.Millisecond
		c := &conn{place: p, d: new(headDriver), proof: proofOpen, origin: r.addr}
		p.conns = connsOf(c)
		unwanted := get()
		p.assign(unwanted, c, now.Add(-time.Second))
		require.False(t, p.canJoin(c, get(), now))
		unwanted.rescued = true
		require.Equal(t, want, p.canJoin(c, get(), now), limit)
	}
}

// Answers that wait for this process say how busy it is, and not how slow the origin is.
func TestFoundAnswersAreNotLate(t *testing.T) {
	now := clock()
	for _, found := range []bool{false, true} {
		k := knowledge{rtt: time.Millisecond}
		for range 64 {
			k.answered(now, 10*time.Millisecond, 100*time.Microsecond, false, false)
		}
		service, tail := k.service, k.tail
		require.Equal(t, 100*time.Microsecond, service)
		for range 8 {
			k.answered(now, 200*time.Millisecond, 100*time.Millisecond, found, false)
		}
		require.Equal(t, found, k.tail <= tail)
		require.Equal(t, found, k.service == service)
		if found {
			for range 512 {
				k.answered(now, 10*time.Millisecond, time.Microsecond, found, false)
			}
			require.Less(t, k.service, 10*time.Microsecond, "it took no longer than that")
		}
	}
}

// The same for who gives up.
func TestTimerEndsWithWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no timer fires meanwhile
		p := newTestPlace(&Transport{MaxConnsPerHost: 1})
		p.asked = clock()
		c := &conn{place: p, d: new(headDriver), proof: proofOpen, exclusive: true}
		c.line, c.inFlight = []*exchange{{out: new(outgoing)}}, 1
		p.conns = connsOf(c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		x := &exchange{out: &outgoing{shareable: true}, route: new(route)}
		x.call.Wake = make(chan struct{}, 1)
		p.mu.Lock()
		require.ErrorIs(t, p.reserve(ctx, x), context.Canceled)
		require.False(t, p.ticking)
	})
}

// When nobody waits any more, the timer does not go on for as long as they did.
func TestTimerEndsWithThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no timer fires meanwhile
		now := clock()
		p := newTestPlace(new(Transport))
		p.known.known = true
		c := &conn{place: p, d: new(headDriver), proof: proofOpen, turn: now.Add(-time.Hour)}
		c.line = []*exchange{{out: new(outgoing)}, {out: new(outgoing)}}
		c.inFlight = 2
		p.conns = connsOf(c)
		p.tick(now)
		require.True(t, p.ticking)
		require.Greater(t, p.tickAt.Sub(now), time.Minute)
		p.leave(c, 0, now)
		require.True(t, p.ticking == p.behind())
		c.line[0].joined = false
		p.tick(now)
		require.False(t, p.ticking)
	})
}

// A timer that comes too late for a request behind another used to be found by going
// through all connections each time; that it is set anew then must not be lost with that.
func TestTimerComesInTimeForWhoIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no timer fires meanwhile
		now := clock()
		r := &route{addr: "o"}
		get := func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r} }
		p := newTestPlace(new(Transport))
		p.known.known, p.known.usual = true, time.Millisecond
		first, second := &conn{place: p, d: new(headDriver), proof: proofOpen}, &conn{place: p, d: new(headDriver), proof: proofOpen}
		p.conns = connsOf(first, second)
		p.assign(get(), first, now)
		p.assign(get(), first, now)
		require.True(t, p.ticking)
		require.Equal(t, p.known.patience(), p.tickAt.Sub(now))

		at := p.tickAt
		p.assign(get(), second, now.Add(time.Millisecond))
		p.assign(get(), second, now.Add(time.Millisecond))
		require.Equal(t, at, p.tickAt, "it comes early enough")

		p.timer.Stop()
		p.tickAt = now.Add(time.Hour)
		p.timer.Reset(time.Hour)
		second.line, second.inFlight = nil, 0
		p.conns.gave(second)
		p.assign(get(), second, now)
		p.assign(get(), second, now)
		require.LessOrEqual(t, p.tickAt.Sub(now), p.known.patience())
	})
}

// A pair whose first answer is a stream used to keep all other connections from showing
// that the origin can pipeline, for as long as it lasted.
func TestTrialEndsWithThePatienceForIt(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	c := &conn{place: p, d: new(headDriver), proof: proofPair}
	p.conns = connsOf(c)
	for range 2 {
		p.assign(&exchange{out: &outgoing{shareable: true}, route: new(route)}, c, now)
	}
	require.Equal(t, 2, c.pair)
	require.Same(t, c, p.trial(now))
	require.Nil(t, p.trial(now.Add(p.known.patienceWithPair()+time.Millisecond)))
	c.ended = true
	require.Nil(t, p.trial(now))
}

// Where no connection has room within packed, those that are crowded anyway used to be
// filled one after the other, the fullest first.
func TestCrowdedConnectionsAreFilledEvenly(t *testing.T) {
	now := clock()
	r := &route{addr: "o"}
	get := func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r} }
	p := newTestPlace(&Transport{MaxConnsPerHost: 2})
	p.known.known, p.known.usual, p.known.service, p.known.mean = true, time.Second, time.Millisecond, 1e6
	p.known.rtt = 100 * time.Millisecond
	p.known.packing.doubled = maxDoubled
	few, many := &conn{place: p, d: new(headDriver), proof: proofOpen}, &conn{place: p, d: new(headDriver), proof: proofOpen}
	p.conns = connsOf(few, many)
	for range p.known.packed() {
		p.assign(get(), few, now)
		p.assign(get(), many, now)
	}
	p.assign(get(), many, now)
	require.Same(t, few, p.choose(get(), now))
}

// Whether the origin can pipeline used to be read from whatever was answered next alone
// on a new connection, and not from the second copy of what a pair got no answer to.
func TestVerdictIsOnTheSecondCopy(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	answer := func(x *exchange, took time.Duration) {
		c := &conn{place: p, d: new(headDriver)}
		p.conns.add(c)
		x.out, x.route = &outgoing{shareable: true}, new(route)
		p.assign(x, c, now)
		x.call.Response.StatusCode = 200
		now = now.Add(took)
		p.learnAnswer(c, x, now)
	}
	answer(new(exchange), time.Millisecond)
	require.Zero(t, p.known.strikes)
	answer(&exchange{accuses: true}, time.Millisecond)
	require.Equal(t, 1, p.known.strikes)
	answer(&exchange{accuses: true}, time.Second)
	require.Equal(t, 1, p.known.strikes, "it takes long alone too")
	require.Equal(t, 2*time.Second, p.known.patienceWithPair())
	answer(&exchange{accuses: true}, time.Millisecond)
	require.False(t, p.known.canPipeline(now))
}

// An origin that has answered pairs, with a few answers that take long, used to count as
// unable to pipeline when two of them in a row were in pairs.
func TestProvedOriginIsNotConvictedByChance(t *testing.T) {
	now := clock()
	k := knowledge{proved: true}
	for range maxStrikesProved - 1 {
		k.convict(now)
		require.True(t, k.canPipeline(now))
	}
	k.convict(now)
	require.False(t, k.canPipeline(now))
}

// A few callers near an origin must not wait for each other to prove anything: they have
// their connections to themselves, which costs them less. Who had to wait for one does.
func TestPartnerIsAwaitedFarAwayOrAfterAWait(t *testing.T) {
	for rtt, waits := range map[time.Duration]bool{100 * time.Microsecond: false, 50 * time.Millisecond: true} {
		now := clock()
		r := &route{addr: "o"}
		get := func() *exchange {
			return &exchange{out: &outgoing{shareable: true, rescuable: true}, route: r, arrived: now, gap: minTick}
		}
		p := newTestPlace(new(Transport))
		p.known.known, p.known.usual, p.known.rtt = true, time.Millisecond, rtt
		for range 3 {
			p.conns.add(&conn{place: p, d: new(headDriver), proof: proofPair, origin: r.addr})
		}
		for _, c := range p.conns.all[:2] {
			require.NotNil(t, p.choose(get(), now), "with two callers it is not worth it")
			p.assign(get(), c, now)
		}
		require.Equal(t, waits, p.choose(get(), now) == nil, rtt)

		p.leave(p.conns.all[0], 0, now)
		second := get()
		second.gap = 0
		require.Equal(t, waits, p.choose(second, now) == nil, "a third may ask at once")
		require.NotNil(t, p.choose(second, now.Add(minTick)), "it does not")

		again := get() // a second attempt, and nobody else had asked for long
		again.waiting, again.since, again.arrived = true, now, now.Add(-time.Second)
		require.NotNil(t, p.choose(again, now))
		again.gap = minTick - 1
		p.shared.push(again)
		for range 2 {
			require.Nil(t, p.choose(again, now), "it has waited for a connection")
			require.Equal(t, minTick, p.untilLook(now))
			now = now.Add(minTick / 2)
		}
		require.NotNil(t, p.choose(again, now))
		p.shared.remove(again)
		p.learnAlone(again, now.Add(time.Second))
		require.Equal(t, now.Add(time.Second+partnerPauses*minTick), p.aloneTill, "it did not wait for that for a second")
	}
}

// Who told its trace of the connection for long must not bring another along onto one that
// is kept free for a POST meanwhile.
func TestPairLeavesABarrierAlone(t *testing.T) {
	now := clock()
	r := &route{addr: "o"}
	for _, barrier := range []bool{false, true} {
		p := newTestPlace(new(Transport))
		c := &conn{place: p, d: new(headDriver), proof: proofPair, origin: r.addr}
		p.conns = connsOf(c)
		first := &exchange{out: &outgoing{shareable: true, rescuable: true}, route: r}
		second := &exchange{out: &outgoing{shareable: true, rescuable: true}, route: r, waiting: true}
		p.assign(first, c, now)
		p.shared.push(second)
		if barrier {
			p.barrier = c
		}
		p.pairLate(first)
		require.Equal(t, !barrier, first.second == second)
		require.Equal(t, barrier, p.barrier == c)
	}
}

// A dial that took long says little about the round trip.
func TestSlowDialIsNoRoundTrip(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	c := &conn{place: p, d: new(headDriver)}
	p.conns = connsOf(c)
	p.assign(&exchange{out: &outgoing{shareable: true}, route: new(route)}, c, now)
	for dial, due := range map[time.Duration]time.Duration{0: 0, 50 * time.Millisecond: 50 * time.Millisecond, time.Minute: minPairWait} {
		p.known.dial = dial
		require.Equal(t, due, p.due(c).Sub(now))
	}
}

// The second copy of what a pair was silent about may be lost as well: then the third one
// says whose fault it was.
func TestVerdictIsCarriedOn(t *testing.T) {
	rt := &roundTrip{t: new(Transport), out: outgoing{replayable: true, rescuable: true}}
	lost := &pipeline.CallError{Err: pipeline.ErrRetired, Answered: 1}
	x, err := rt.again(&exchange{silent: true}, lost)
	require.NoError(t, err)
	require.True(t, x.accuses)
	x, err = rt.again(x, lost)
	require.NoError(t, err)
	require.True(t, x.accuses)
	x, err = rt.again(new(exchange), lost)
	require.NoError(t, err)
	require.False(t, x.accuses)
}
