package httppipe

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
func crowd(n int, now time.Time) (p *place, get func() *exchange, looks *int) {
	r := &route{addr: "o"}
	p = newTestPlace(&Transport{MaxConnsPerHost: n})
	p.known.known = true
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
	now := time.Now()
	p, get, looks := crowd(1000, now)
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

// Whoever came to a queue had it looked for a place for the first in it, where nothing had
// changed. With thousands in it nobody got on.
func TestWhoComesToQueueLooksForNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
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
		now := time.Now()
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

func TestFewDialsAtOnceWhileTheyTakeLong(t *testing.T) {
	p := newTestPlace(new(Transport))
	p.shared.n = 1000
	for took, crowded := range map[time.Duration]bool{21 * time.Millisecond: false, 22 * time.Millisecond: true} {
		p.known.dial, p.known.least = took, 10*time.Millisecond
		p.dialing, p.hanging = crowdedDials+2, 3
		require.True(t, p.canDial(), "those that hang do not count")
		p.hanging = 2
		require.Equal(t, !crowded, p.canDial())
	}
}

// An origin that is farther away than it was, because of another network, say, is not taken
// for a crowd for ever.
func TestDialsThatBecameLongerCrowdForAMinute(t *testing.T) {
	now := time.Now()
	var k knowledge
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
