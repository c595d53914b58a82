package httppipe

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection that was about to be closed used to count as idle: another was closed
// in its place as one too many.
func TestConnThatIsAboutToBeClosedIsNotIdle(t *testing.T) {
	tr := &Transport{MaxIdleConnsPerHost: 1}
	p := newTestPlace(tr)
	tr.pool.places = map[routeKey]*place{{}: p}
	closing := &conn{place: p, d: new(headDriver), closing: true}
	c := &conn{place: p, d: new(headDriver)}
	p.conns = connsOf(closing, c)
	tr.pool.becameIdle(c, clock())
	require.False(t, c.closing)
	require.Equal(t, Stats{Conns: 2, Idle: 1}, tr.Stats())
	tr.pool.notIdle(c, clock())
}

// Requests that share a connection leave those idle that would have had to carry them, and
// these were closed as too many, to be dialed again for requests that need one of their own.
// They stay for as long as others share.
func TestIdleConnsThatSharedOnesSpareAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{MaxIdleConnsPerHost: 1}
		p := newTestPlace(tr)
		tr.pool.places = map[routeKey]*place{{}: p}
		shared := &conn{place: p, d: new(headDriver), proof: proofOpen}
		p.conns = connsOf(shared)
		get := func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: new(route)} }
		for range 3 {
			p.assign(get(), shared, clock())
		}
		var spare [4]*conn
		for i := range spare {
			spare[i] = &conn{place: p, d: new(headDriver), proof: proof(i % 2)}
			p.conns.add(spare[i])
			tr.pool.becameIdle(spare[i], clock())
		}
		require.Equal(t, Stats{Conns: 5, Idle: 3, InFlight: 3, Deepest: 3}, tr.Stats(), "one, and for two of the three in flight")
		require.True(t, spare[2].closing, "it had shown the least, and was used last")
		require.Equal(t, 3, tr.pool.idle.n)

		p.mu.Lock()
		p.leave(shared, 0, clock())
		p.mu.Unlock()
		time.Sleep(janitorPeriod + 1)
		require.Equal(t, 2, tr.Stats().Idle, "the janitor sees that fewer share")

		p.mu.Lock()
		p.leave(shared, 0, clock())
		p.leave(shared, 0, clock())
		p.mu.Unlock()
		require.Equal(t, 1, tr.Stats().Idle)
		require.False(t, shared.closing, "the others have shown less")
		tr.CloseIdleConnections()
		time.Sleep(2 * janitorPeriod)
	})
}
