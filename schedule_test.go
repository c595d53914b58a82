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
	p.conns = []*conn{a, b}
	return p, a, b, func() *exchange { return &exchange{out: &outgoing{shareable: true}, route: r} }
}

// Requests near their origin used to be spread over all connections that there were, so
// that each write carried few of them.
func TestConnectionIsFilledBeforeOthers(t *testing.T) {
	now := time.Now()
	p, a, b, get := twoConns(new(Transport))
	p.known.service = 5 * time.Microsecond
	fill := p.known.unnoticed()
	require.Equal(t, 11, fill, "so many take 50 µs")
	p.assign(get(), a, now)
	p.assign(get(), b, now)
	p.assign(get(), b, now)
	for b.inFlight < fill {
		require.Same(t, b, p.choose(get(), now), "%d in flight", b.inFlight)
		p.assign(get(), b, now)
	}
	for a.inFlight < fill {
		require.Same(t, a, p.choose(get(), now), "%d in flight", a.inFlight)
		p.assign(get(), a, now)
	}
	p.assign(get(), a, now)
	require.Same(t, b, p.choose(get(), now), "both are full, and filled evenly from now on")

	p.known.service = 100 * time.Microsecond
	require.Equal(t, 1, p.known.unnoticed(), "to wait for one would be noticed")
}

// Who waits behind a late answer waits for long: where some are late, requests are spread.
func TestConnectionsAreFilledEvenlyWhereAnswersAreLate(t *testing.T) {
	now := time.Now()
	p, a, b, get := twoConns(new(Transport))
	p.known.service = 5 * time.Microsecond
	p.assign(get(), a, now)
	p.assign(get(), a, now)
	p.assign(get(), b, now)
	require.Same(t, a, p.choose(get(), now))
	p.known.tail = 2 * maxPackTail
	require.Same(t, b, p.choose(get(), now))
}

// What is filled is found without a look at the others, but not if it has ended.
func TestFilledConnectionThatEndsIsForgotten(t *testing.T) {
	now := time.Now()
	p, a, b, get := twoConns(new(Transport))
	p.known.service = 5 * time.Microsecond
	p.assign(get(), a, now)
	p.assign(get(), b, now)
	first := p.choose(get(), now)
	require.Same(t, first, p.filling)
	first.line, first.inFlight = nil, 0
	first.endedBy(nil)
	require.Nil(t, p.filling)
	require.NotSame(t, first, p.choose(get(), now))
}

// With as many connections as there could be, all but a few requests used to be bound
// late, also where none is ever late: each then left in a write of its own.
func TestFewAreBoundLateWhereFewAreLate(t *testing.T) {
	now := time.Now()
	p, a, b, get := twoConns(&Transport{MaxConnsPerHost: 2})
	p.known.service, p.known.excess = 20*time.Microsecond, time.Millisecond
	for range 60 {
		p.assign(get(), a, now)
		p.assign(get(), b, now)
	}
	require.NotNil(t, p.choose(get(), now))
	p.known.tail = maxPackTail / 2
	require.Nil(t, p.choose(get(), now))
	p.known.tail, p.known.service = 0, 10*time.Millisecond
	require.Nil(t, p.choose(get(), now), "it matters which of them is free first")
}
