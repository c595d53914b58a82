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
			c := new(conn)
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
		case len(carrying) > 0:
			c := pick(carrying)
			s.gave(c)
			carrying, idle = without(carrying, c), slices.Insert(idle, 0, c)
		}
		require.ElementsMatch(t, carrying, s.carrying())
		require.True(t, slices.Equal(idle, s.idle()))
		require.Len(t, s.all, len(carrying)+len(idle))
	}
}
