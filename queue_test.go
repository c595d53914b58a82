package httppipe

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who waits is in the order of arrival, and the oldest without a dial is known, whoever
// comes, leaves, or has one begun. To go through all of them each time took so long, with
// thousands, that they only became more.
func TestExchangeQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	began := clock()
	var q exchangeQueue
	var want []*exchange
	for range 20_000 {
		switch n := random.IntN(6); {
		case n < 2 && len(want) < 12:
			x := &exchange{arrived: began.Add(time.Duration(random.IntN(8))), dials: n == 0}
			q.push(x)
			after := slices.IndexFunc(want, func(other *exchange) bool { return other.arrived.After(x.arrived) })
			if after < 0 {
				after = len(want)
			}
			want = slices.Insert(want, after, x)
		case n == 2 && len(want) > 0:
			require.Same(t, want[0], q.pop())
			want = want[1:]
		case n == 3 && len(want) > 0:
			i := random.IntN(len(want))
			q.remove(want[i])
			want = slices.Delete(want, i, i+1)
		case q.undialed != nil:
			q.dial(q.undialed)
		}
		var got []*exchange
		for x := q.first; x != nil; x = x.behind {
			got = append(got, x)
		}
		require.True(t, slices.Equal(want, got))
		require.Equal(t, len(want), q.n)
		var undialed *exchange
		if i := slices.IndexFunc(want, func(x *exchange) bool { return !x.dials }); i >= 0 {
			undialed = want[i]
		}
		require.Same(t, undialed, q.undialed)
	}
}
