package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/wire"
)

// fill receives n octets, as often as it takes.
func (rv *receiver) fill(n int) (reads int) {
	for ; n > 0; reads++ {
		m := moved{in: min(n, len(rv.space()))}
		rv.received(m)
		n -= m.in
	}
	return reads
}

// A connection that is busy with small answers has a large buffer, also if they
// never end where a read does.
func TestBusyConnectionReceivesMoreAtATime(t *testing.T) {
	for _, left := range []int{0, 1, 100} {
		var rv receiver
		require.Len(t, rv.space(), receiveMin)
		for range 10 {
			rv.fill(len(rv.space()))
			rv.parse(len(rv.buffered()) - left)
		}
		rv.parse(left)
		require.Len(t, rv.space(), receiveMax)
	}
}

// A head may be longer than the largest buffer.
func TestWindowGrowsWithAHead(t *testing.T) {
	var rv receiver
	rv.fill(10 * receiveMax)
	require.Len(t, rv.buffered(), 10*receiveMax)
}

// Large content is read past the buffer, and so is most of the next one: the read
// that receives its head takes little more.
func TestBulkNarrowsTheWindow(t *testing.T) {
	var rv receiver
	rv.fill(receiveMax)
	rv.parse(len(rv.buffered()))
	require.Len(t, rv.space(), receiveMax)
	large := wire.Framing{Kind: wire.Length, Length: 64 << 10}
	for range 3 {
		rv.fill(300)
		rv.parse(300)
		rv.begin(large, wire.Limits{})
		require.Equal(t, 64<<10, rv.direct(64<<10))
		require.True(t, rv.receivedDirect(moved{in: 64 << 10}))
		require.Len(t, rv.space(), receiveMin)
	}
	rv.begin(wire.Framing{Kind: wire.Length, Length: direct}, wire.Limits{})
	rv.fill(receiveMin)
	rv.parse(receiveMin)
	require.Greater(t, len(rv.space()), receiveMin)
}
