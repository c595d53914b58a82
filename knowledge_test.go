package httppipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// learned is what is known of an origin after many answers to requests behind others,
// while more and more connections were busy.
func learned(service func(busy int) time.Duration) *knowledge {
	k := &knowledge{rtt: 100 * time.Microsecond}
	now := time.Now()
	for busy := 1; busy <= 8; busy++ {
		for range 4096 {
			k.answered(now, 10*time.Millisecond, service(busy), busy, false)
		}
	}
	return k
}

// An origin of one thread used to get ever more connections: each made all others
// slower, and that was taken for the origin.
func TestConnectionsThatShareAThreadAreNoReasonForMore(t *testing.T) {
	const service = 15 * time.Microsecond
	alone := learned(func(int) time.Duration { return service })
	shared := learned(func(busy int) time.Duration { return time.Duration(busy) * service })
	require.InEpsilon(t, float64(8*service), float64(shared.service), .1)
	require.InDelta(t, alone.packed(), shared.packed(), 2)

	// But nobody waits for long because of that.
	slow := learned(func(busy int) time.Duration { return time.Duration(busy) * 20 * service })
	slow.unseen = 0
	require.Equal(t, 1, slow.packed())
}

// If an origin is slower than before, and more connections do not explain it, they are
// what helps.
func TestSlowerOriginIsNotTakenForASharedOne(t *testing.T) {
	const service = 15 * time.Microsecond
	k := learned(func(int) time.Duration { return service })
	for range 4096 {
		k.answered(time.Now(), 10*time.Millisecond, 100*service, 2, false)
	}
	k.unseen = 0
	require.Equal(t, 1, k.packed(), "twice as many explain no more than twice as much")
}

// A pause of the origin used to count once for each connection, after which so few
// requests went on each that dozens were dialed.
func TestLateAnswersThatComeTogetherCountAsOne(t *testing.T) {
	tail := func(apart time.Duration) float64 {
		k := &knowledge{rtt: time.Millisecond}
		now := time.Now()
		for range 512 {
			k.answered(now, 10*time.Millisecond, 10*time.Microsecond, 1, false)
		}
		for range 8 {
			now = now.Add(apart)
			k.answered(now, 100*time.Millisecond, 100*time.Millisecond, 1, false)
		}
		return k.tail
	}
	require.InDelta(t, 1./tailMemory, tail(10*time.Microsecond), .1/tailMemory)
	require.InDelta(t, 8./tailMemory, tail(2*together), .1/tailMemory)
}
