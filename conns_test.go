package httppipe

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Those that carry something are first, and the idle ones are in the order in which they
// were used last, whatever happens to them.
func TestConnSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s connSet
	var carrying, idle []*conn // idle: used last first
	pick := func(from []*conn) *conn { return from[random.IntN(len(from))] }
	without := func(from []*conn, c *conn) []*conn {
		return slices.DeleteFunc(from, func(other *conn) bool { return other == c })
	}
	for range 20_000 {
		switch n := random.IntN(8); {
		case n == 0 && len(s.all) < 12:
			c := &conn{proof: proof(random.IntN(3))}
			s.add(c)
			idle = slices.Insert(idle, 0, c)
		case n == 1 && len(s.all) > 0:
			c := pick(s.all)
			s.remove(c)
			s.remove(c)
			carrying, idle = without(carrying, c), without(idle, c)
		case n < 5 && len(idle) > 0:
			c := pick(idle)
			s.took(c)
			carrying, idle = append(carrying, c), without(idle, c)
		case n < 7 && len(carrying) > 0:
			c := pick(carrying)
			s.gave(c)
			carrying, idle = without(carrying, c), slices.Insert(idle, 0, c)
		case n == 7 && len(s.all) > 0:
			if c := pick(s.all); c.proof != proofOpen {
				s.proved(c)
			}
		}
		require.ElementsMatch(t, carrying, s.carrying())
		require.True(t, slices.Equal(idle, s.idle()))
		require.Len(t, s.all, len(carrying)+len(idle))
		proven := 0
		for _, c := range s.all {
			if c.proof == proofOpen {
				proven++
			}
		}
		require.Equal(t, proven, s.proven)
	}
}

// A look is at all of a few connections in their order, and at a part of very many, if one
// was at all a moment ago: at each of them in turn.
func TestConnSetLook(t *testing.T) {
	for _, n := range []int{0, 1, maxLook, maxLook + 1, 3*maxLook - 1, 3 * maxLook, 1000} {
		var s connSet
		for range n {
			c := new(conn)
			s.add(c)
			s.took(c)
		}
		s.add(new(conn)) // idle
		now := clock()
		for range 2 {
			require.True(t, slices.Equal(s.carrying(), s.look(now)))
		}
		now = now.Add(minTick - 1)
		if n <= maxLook {
			require.True(t, slices.Equal(s.carrying(), s.look(now)))
			continue
		}
		for range 3 {
			seen := make(map[*conn]bool)
			for range (n + maxLook - 1) / maxLook {
				looked := s.look(now)
				require.Len(t, looked, maxLook)
				for _, c := range looked {
					seen[c] = true
				}
			}
			for _, c := range s.carrying() {
				require.True(t, seen[c])
			}
			require.Len(t, seen, n)
		}
		require.Len(t, s.look(now.Add(1)), n)
	}
}
