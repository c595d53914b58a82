package httppipe

import (
	"testing"

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
