package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBits is the resolution of a histogram: 32 buckets for each power of two,
// so that a value is off by at most 3 %.
const subBits = 5

// A histogram counts durations. It can be added to while it is read.
type histogram [64 << subBits]atomic.Uint32

func bucketOf(d time.Duration) int {
	ns := uint64(max(d, 0))
	if ns < 1<<subBits {
		return int(ns)
	}
	shift := bits.Len64(ns) - 1 - subBits
	return (shift+1)<<subBits + int(ns>>shift)&(1<<subBits-1)
}

// middleOf is the middle of a bucket.
func middleOf(bucket int) time.Duration {
	shift := bucket>>subBits - 1
	if shift < 0 {
		return time.Duration(bucket)
	}
	low := int64(1<<subBits+bucket&(1<<subBits-1)) << shift
	return time.Duration(low + int64(1)<<shift/2)
}

func (h *histogram) add(d time.Duration, n int) { h[bucketOf(d)].Add(uint32(n)) }

// merge adds what o has counted.
func (h *histogram) merge(o *histogram) {
	for i := range o {
		h[i].Add(o[i].Load())
	}
}

func (h *histogram) total() (n int64) {
	for i := range h {
		n += int64(h[i].Load())
	}
	return n
}

// quantile returns the q-quantile; q = 1 is the largest value. Of nothing it
// is 0.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total()))
	var seen int64
	var last time.Duration
	for i := range h {
		n := int64(h[i].Load())
		if n == 0 {
			continue
		}
		last = middleOf(i)
		if seen += n; seen > rank {
			break
		}
	}
	return last
}

// above returns the share of values in buckets above that of d.
func (h *histogram) above(d time.Duration) float64 {
	var n int64
	for i := bucketOf(d) + 1; i < len(h); i++ {
		n += int64(h[i].Load())
	}
	return float64(n) / float64(max(1, h.total()))
}
