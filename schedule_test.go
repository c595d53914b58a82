package httppipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// twoConns are a place with two connections that may be shared, and a func that returns
// another request for them.
func twoConns(tr *Transport) (p *place, a, b *conn, get func() *exchange) {
	r := &route{addr: "o"}
	p = newTestPlace(tr)
	p.known.known, p.known.usual, p.known.rtt = true, time.Second, 100*time.Microsecond
	a, b = &conn{place: p, d: new(headDriver), proof: proofOpen}, &conn{place: p, d: new(headDriver), proof: proofOpen}
	p.conns = connsOf(a, b)
	return p, a, b, func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r} }
}

// With as many connections as there could be, all but a few requests used to be bound
// late, also where none is ever late: each then left in a write of its own.
func TestFewAreBoundLateWhereFewAreLate(t *testing.T) {
	now := clock()
	p, a, b, get := twoConns(&Transport{MaxConnsPerHost: 2})
	p.known.service, p.known.excess = 20*time.Microsecond, time.Millisecond
	for range 40 {
		p.assign(get(), a, now)
		p.assign(get(), b, now)
	}
	require.NotNil(t, p.choose(get(), now))
	p.known.tail = maxPackTail / 2
	require.Nil(t, p.choose(get(), now))
	p.known.tail, p.known.service = 0, 10*time.Millisecond
	require.Nil(t, p.choose(get(), now), "it matters which of them is free first")
}

// With as many connections as there could be, one request used to be sent behind each
// other in any case: where one answer in a hundred took 100 ms, more waited behind such
// than with a connection for each.
func TestNobodyIsSentBehindOthersWhereManyAreSlow(t *testing.T) {
	now := clock()
	p, a, b, fresh := twoConns(&Transport{MaxConnsPerHost: 2})
	get := func() *exchange {
		x := fresh()
		x.arrived = now
		return x
	}
	p.known.service, p.known.tail, p.known.excess = 60*time.Microsecond, .01, 95*time.Millisecond
	p.known.seen = serviceMemory
	p.assign(get(), a, now)
	p.assign(get(), b, now)
	require.Nil(t, p.choose(get(), now))

	p.known.unseen = maxUnseen
	require.NotNil(t, p.choose(get(), now), "to see whether the service is still short")
	p.known.unseen, p.known.rtt = 0, 10*time.Millisecond
	require.NotNil(t, p.choose(get(), now), "the way is longer than what one loses, on average")
	p.known.rtt, p.known.tail, p.known.service = 100*time.Microsecond, 0, 10*time.Millisecond
	require.NotNil(t, p.choose(get(), now), "none is slow beside the others")
	p.known.tail, p.known.service = .01, 60*time.Microsecond
	require.Nil(t, p.choose(get(), now))
	waited := get()
	waited.arrived = now.Add(-95 * time.Millisecond)
	require.NotNil(t, p.choose(waited, now), "it has waited for longer than a late answer takes")
	p.t.MaxConnsPerHost = 1
	require.NotNil(t, p.choose(get(), now), "there is no other to wait for")
}

// A connection to an origin that is known for short used to get as much as there was room
// for, however little it had answered: of whom the first can make wait for long, few are
// behind it.
func TestDepthGrowsWithWhatWasAnswered(t *testing.T) {
	now := clock()
	p := newTestPlace(&Transport{MaxPipelineDepth: 1000})
	p.known.known = true
	c := &conn{place: p, d: new(headDriver), proof: proofOpen}
	x := &exchange{out: &outgoing{shareable: true}, route: new(route)}
	for answered, depth := range map[int]int{0: firstDepth, firstDepth + 1: firstDepth + 1, 2000: 1000} {
		c.answered = answered
		require.Equal(t, depth, p.depthOf(c, x, now))
	}
}

// How long TLS takes, which many connections at once make the longer, must not make an
// origin look far away, so that more are dialed.
func TestBurstIsToAnOriginFarAway(t *testing.T) {
	now := clock()
	for way, conns := range map[time.Duration]int{0: 40, 50 * time.Millisecond: 40, time.Millisecond: slowConns} {
		p := newTestPlace(new(Transport))
		if way > 0 {
			p.known.reached(way)
			p.known.reached(time.Second)
		}
		for range 40 {
			p.shared.push(&exchange{since: now.Add(-minPatience)})
		}
		require.Equal(t, conns, p.untilProven(0, now), way)
	}
	k := new(knowledge)
	require.Equal(t, time.Second, k.distance(time.Second), "it is as far at least")
	k.switches = true
	k.dialed(clock(), 2*time.Millisecond)
	require.False(t, k.switches)
	require.Equal(t, 2*time.Millisecond, k.distance(time.Second), "of a dial func that does TLS, too, that is all that is known")
	k.reached(3 * time.Millisecond)
	require.Equal(t, 3*time.Millisecond, k.distance(time.Second))
}

// Only a pair in one write shows what others could wait for in place of a connection.
func TestTrialInTwoWritesKeepsNobodyWaiting(t *testing.T) {
	now := clock()
	for _, oneWrite := range []bool{false, true} {
		p := newTestPlace(new(Transport))
		p.known.known, p.known.rtt = true, 50*time.Millisecond
		c := &conn{place: p, d: new(headDriver), proof: proofPair}
		p.conns.add(c)
		for range 2 {
			p.assign(&exchange{out: &outgoing{shareable: true}, route: new(route)}, c, now)
		}
		c.oneWrite = oneWrite
		p.shared.push(&exchange{since: now.Add(-p.known.coldPause())})
		require.Equal(t, map[bool]int{false: slowConns, true: 0}[oneWrite], p.untilProven(1, now))
	}
}

// Behind a pair in one write some find room: others are dialed for, if that is worth it.
func TestWhoFindsNoRoomBehindAPairIsDialedFor(t *testing.T) {
	now := clock()
	for _, test := range []struct {
		way, service time.Duration
		depth, dials int
	}{
		{way: 50 * time.Millisecond, service: 10 * time.Millisecond, dials: 40 - 2}, // 12.5 ms of waiting
		{way: 50 * time.Millisecond, service: 2 * time.Millisecond, dials: 40 - 7},
		{way: 50 * time.Millisecond, dials: 0},
		{way: 50 * time.Millisecond, depth: 4, service: 10 * time.Millisecond, dials: 40 - 2},
		{way: 50 * time.Millisecond, depth: 4, dials: 40 - 4},
		{way: time.Millisecond, service: 10 * time.Millisecond, dials: 0},
	} {
		p := newTestPlace(&Transport{MaxPipelineDepth: test.depth})
		p.known.reached(test.way)
		p.known.known, p.known.rtt = true, 50*time.Millisecond
		p.known.service, p.known.seen = test.service, 1
		c := &conn{place: p, d: new(headDriver), proof: proofPair}
		p.conns.add(c)
		for range 2 {
			p.assign(&exchange{out: &outgoing{shareable: true}, route: new(route)}, c, now)
		}
		c.oneWrite = true
		for range 40 {
			p.shared.push(&exchange{since: now})
		}
		require.Equal(t, test.dials, p.untilProven(1, now), test)
	}
}

// Who has come a round trip later than the first of those who wait is answered sooner when
// that has shown what the origin can. A dial may take several round trips (TLS).
func TestWhoComesWithinARoundTripHasAConnection(t *testing.T) {
	const way = 40 * time.Millisecond
	now := clock()
	p := newTestPlace(new(Transport))
	for i := range 40 {
		since := now.Add(time.Duration(i) * way / 20) // those up to the 20th within it
		p.shared.push(&exchange{arrived: since, since: since})
	}
	require.Equal(t, 1, p.untilProven(0, now.Add(minPatience-1)), "whether it is far away is not known yet")
	require.Equal(t, 40, p.untilProven(0, now.Add(2*way)), "it is as far as that at least")
	p.known.reached(way)
	require.Equal(t, 21, p.untilProven(1, now.Add(2*way)))
	require.Equal(t, 40, p.untilProven(0, now.Add(2*way)), "there is no connection yet that could show anything")
	require.Equal(t, 21, p.untilProven(0, now), "it is known")
	p.known.dialFailures = 1
	require.Equal(t, slowConns, p.untilProven(0, now.Add(2*way)), "no other is sooner")
	p.known.dialFailures, p.known.switches = 0, true
	require.Equal(t, slowConns, p.untilProven(0, now.Add(2*way)), "all share one of another protocol")
	p.known.switches = false
	p.shared.first.behind.since = now.Add(2 * way) // it came again, and has its old place
	require.Equal(t, 20, p.untilProven(1, now.Add(2*way)))
	for range 2 * burstConns {
		p.shared.push(&exchange{arrived: now, since: now})
	}
	require.Equal(t, 20+2*burstConns, p.untilProven(0, now.Add(minPatience)), "all who come within it")
	p.skipped = 1
	require.Equal(t, burstConns, p.untilProven(0, now.Add(minPatience)), "this process had no time")
}

// While a pair was late, each of a thousand who waited got a connection of their own: where
// this process is why it is late, that made it later still.
func TestLatePairBringsSomeConnectionsAtOnce(t *testing.T) {
	now := clock()
	p := newTestPlace(new(Transport))
	p.known.known, p.known.usual = true, time.Millisecond
	c, other := &conn{place: p, d: new(headDriver), proof: proofPair}, &conn{place: p, d: new(headDriver), proof: proofPair}
	p.conns = connsOf(c, other)
	get := func() *exchange {
		return &exchange{out: &outgoing{shareable: true}, route: new(route), since: now, waiting: true}
	}
	p.assign(get(), c, now)
	p.assign(get(), c, now)
	p.assign(get(), other, now.Add(time.Hour))
	for range 1000 {
		p.shared.push(get())
	}
	require.Equal(t, burstConns-2, p.needed(now.Add(2*minPatience)))
	other.line[0].assigned, other.turn = now, now
	for range burstConns {
		c := &conn{place: p, d: new(headDriver), proof: proofAlone}
		p.conns.add(c)
		p.assign(get(), c, now)
	}
	require.Equal(t, burstConns+2, p.needed(now.Add(2*minPatience)), "all are late")
}

// Of hundreds who came at once to an origin far away, or to slow handlers, some waited for
// others, though nothing but the way or the handlers can be the reason.
func TestHundredsHaveConnectionsUnlessThisProcessIsLate(t *testing.T) {
	const n = 500
	now := clock()
	soon, later := now.Add(minPatience), now.Add(maxNear)
	cold := func(carrying int) *place {
		p := newTestPlace(new(Transport))
		get := func() *exchange {
			return &exchange{out: &outgoing{shareable: true}, route: new(route), since: now, waiting: true}
		}
		for range carrying {
			c := &conn{place: p, d: new(headDriver), proof: proofAlone}
			p.conns.add(c)
			p.assign(get(), c, now.Add(-time.Second))
		}
		for range n {
			p.shared.push(get())
		}
		return p
	}
	for _, carrying := range []int{0, 6} {
		p := cold(carrying)
		require.Equal(t, burstConns-carrying, p.needed(soon))
		require.Equal(t, n, p.needed(later))
		p.skipped = 1
		require.Equal(t, burstConns-carrying, p.needed(later), "this process had no time")
	}
}

// Those who waited used to be shared out to as few connections as could carry them later,
// when these have answered more.
func TestDialsAreForWhatNewConnectionsCarry(t *testing.T) {
	now := clock()
	p := newTestPlace(&Transport{MaxPipelineDepth: 1000})
	p.known.known = true
	p.conns.add(&conn{place: p, d: new(headDriver), proof: proofOpen})
	p.assign(&exchange{out: new(outgoing), route: new(route)}, p.conns.all[0], now)
	for range 4 * firstDepth {
		p.shared.push(&exchange{out: &outgoing{shareable: true}, route: new(route), since: now})
	}
	require.Equal(t, 4, p.needed(now))
}

// The connection that is kept free for who waits for one of its own stays the same, unless
// it ends: then it is another.
func TestBarrierIsOneConnection(t *testing.T) {
	now := clock()
	p, a, b, get := twoConns(&Transport{MaxConnsPerHost: 2})
	p.assign(get(), a, now)
	for range 3 {
		p.assign(get(), b, now)
	}
	alone := &exchange{out: new(outgoing), route: new(route), arrived: now}
	p.alone.push(alone)
	p.bar()
	require.Same(t, a, p.barrier, "it carries less")
	p.assign(get(), a, now.Add(time.Millisecond)) // as the second of a pair
	p.bar()
	require.NotNil(t, p.barrier)

	p.barrier = b
	p.leave(b, 0, now)
	p.leave(a, 0, now)
	p.bar()
	require.Same(t, b, p.barrier, "also if another carries less")
	p.dialing++ // the place of the one that ends is taken
	b.endedBy(nil)
	require.Same(t, a, p.barrier)
	p.alone.pop()
	p.bar()
	require.Nil(t, p.barrier)
}

func TestPairIsOfTwoThatMayBeSentAgainToOneOrigin(t *testing.T) {
	one, other := &route{addr: "one"}, &route{addr: "other"}
	get := func(rescuable bool, r *route) *exchange {
		return &exchange{out: &outgoing{rescuable: rescuable}, route: r}
	}
	require.False(t, get(true, one).pairsWith(nil))
	for _, test := range []struct {
		first, second *exchange
		want          bool
	}{
		{get(true, one), get(true, one), true},
		{get(true, one), get(true, other), false},
		{get(true, one), get(false, one), false},
		{get(false, one), get(true, one), false},
	} {
		require.Equal(t, test.want, test.first.pairsWith(test.second))
	}
}
