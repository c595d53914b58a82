package httppipe

// What very many connections, or very many who wait for one, cost those who ask.

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// lookedAt counts how often it was asked whether it can take another request.
type lookedAt struct {
	headDriver
	n *int
}

func (d *lookedAt) Usable() bool { *d.n++; return true }

// crowd is a place with n connections, all there can be, each with a request that is late;
// a func that returns another request for them; and how many of them were looked at.
func crowd(n int, now instant) (p *place, get func() *exchange, looks *int) {
	r := &route{addr: "o"}
	p = newTestPlace(&Transport{MaxConnsPerHost: n})
	p.known.known, p.known.usual = true, 10*time.Millisecond
	get = func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r, arrived: now} }
	looks = new(int)
	for range n {
		c := &conn{place: p, d: &lookedAt{n: looks}, proof: proofOpen}
		p.conns.add(c)
		p.assign(get(), c, now.Add(-time.Second))
	}
	return p, get, looks
}

// With thousands of connections to slow handlers, each request went through all of them,
// some times: 3000 callers got half of what they get with net/http.
func TestVeryManyConnectionsAreNotAllLookedAt(t *testing.T) {
	now := clock()
	p, get, looks := crowd(1000, now)
	require.Nil(t, p.choose(get(), now))
	require.GreaterOrEqual(t, *looks, 1000)
	*looks = 0
	now = now.Add(minTick / 2)
	require.Nil(t, p.choose(get(), now))
	require.Positive(t, *looks)
	require.LessOrEqual(t, *looks, 2*maxLook)

	*looks = 0
	p.known.service, p.known.seen = time.Hour, serviceMemory
	p.known.tail, p.known.excess = 1, time.Hour // nothing is sent behind another
	p.known.unseen = 0
	require.Nil(t, p.choose(get(), now))
	require.Zero(t, *looks)
}

// Where hardly any of very many connections could be joined, one that had got room stayed
// as it was until it happened to be looked at again.
func TestOneOfVeryManyThatGetsRoomIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		p, get, _ := crowd(1000, now)
		p.t.MaxPipelineDepth = 2
		c := p.conns.all[900]
		c.turn, c.line[0].assigned = now, now
		second := get()
		p.assign(second, c, now)
		waits := get()
		require.Nil(t, p.ask(waits, now))
		now = now.Add(minTick / 2)
		p.leave(c, 1, now)
		require.Same(t, c, waits.conn)
		p.timer.Stop()
	})
}

// A request that is sent again comes before those who wait, and need not wait for what they
// do.
func TestWhoComesToTheFrontOfQueueLooksForPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		p, get, _ := crowd(2, now)
		c := p.conns.all[0]
		c.turn, c.line[0].assigned = now, now
		for range 2 {
			x := get()
			x.route = &route{addr: "another, through the same proxy"}
			require.Nil(t, p.ask(x, now))
		}
		x := get()
		x.arrived = now.Add(-time.Second)
		p.ask(x, now)
		require.Same(t, c, x.conn)
		p.timer.Stop()
	})
}

// Whoever came to a queue had it looked for a place for the first in it, where nothing had
// changed. With thousands in it nobody got on.
func TestWhoComesToQueueLooksForNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		p, get, looks := crowd(100, now)
		for i := range 3 {
			*looks = 0
			require.Nil(t, p.ask(get(), now))
			require.Equal(t, i < 2, *looks > 0, "the second may be the partner that the first waits for")
		}
		p.timer.Stop()
	})
}

// To find out when the timer should come took a look at all connections, whenever anything
// happened on any of them.
func TestTimerOfVeryManyConnectionsIsNotSetByEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		for _, n := range []int{maxLook, maxLook + 1} {
			p, get, _ := crowd(n, now)
			p.known.usual = time.Minute // the next look is far
			x := get()
			x.since = now.Add(-time.Hour)
			p.shared.push(x)
			p.tick(now)
			require.Greater(t, p.tickAt.Sub(now), time.Second)
			p.tick(now)
			require.Equal(t, n > maxLook, p.tickAt.Sub(now) == minTick, "it finds out then")
			p.timer.Stop()
		}
	})
}

// Dials take long where this process has more to do than it can. To begin one for each who
// waits gave it still more to do.
func TestFewDialsAtOnceInBusyProcess(t *testing.T) {
	for _, test := range []struct {
		dial, lag time.Duration
		crowded   bool
	}{
		{22 * time.Millisecond, minUsual, true},
		{22 * time.Millisecond, minUsual - 1, false}, // it is the way that is long
		{21 * time.Millisecond, minUsual, false},
	} {
		p := newTestPlace(new(Transport))
		p.shared.n = 1000
		p.known.dial, p.known.least, p.known.lag = test.dial, 10*time.Millisecond, test.lag
		p.dialing, p.hanging = crowdedDials+2, 3
		require.True(t, p.canDial(), "those that hang do not count")
		p.hanging = 2
		require.Equal(t, !test.crowded, p.canDial())
		p.alone.n = 1
		require.True(t, p.canDial(), "it cannot share")
	}
}

// An origin that is farther away than it was, because of another network, say, is not taken
// for a crowd for ever.
func TestDialsThatBecameLongerCrowdForAMinute(t *testing.T) {
	now := clock()
	k := knowledge{lag: minUsual}
	k.dialed(now, time.Millisecond)
	require.False(t, k.dialsCrowd())
	for range 100 {
		now = now.Add(leastFor / 100)
		k.dialed(now, 50*time.Millisecond)
	}
	require.True(t, k.dialsCrowd())
	k.dialed(now.Add(1), 50*time.Millisecond)
	require.False(t, k.dialsCrowd())
	k.dialed(now.Add(2), 60*time.Millisecond)
	require.Equal(t, 50*time.Millisecond, k.least)
}
