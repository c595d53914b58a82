package load

import (
	"math"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < time.Hour; d += d/50 + 1 {
		b := bucketOf(d)
		if b < last {
			t.Fatalf("%v is in bucket %d, below what is shorter", d, b)
		}
		last = b
		if m := middleOf(b); math.Abs(float64(m-d)) > 0.03*float64(d)+1 {
			t.Fatalf("%v comes back as %v", d, m)
		}
	}
	if bucketOf(-1) != 0 {
		t.Error("negative durations have no bucket")
	}
	if b := bucketOf(math.MaxInt64); b >= 64<<subBits {
		t.Errorf("bucket %d is out of range", b)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h, part histogram
	if h.quantile(0.5) != 0 || h.above(0) != 0 {
		t.Error("an empty histogram has values")
	}
	for i := range 990 {
		h.add(time.Duration(i%10+1)*time.Millisecond, 1)
	}
	part.add(100*time.Millisecond, 10)
	h.merge(&part)
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if math.Abs(float64(got-want)) > 0.03*float64(want) {
			t.Errorf("%s is %v, want about %v", what, got, want)
		}
	}
	near("median", h.quantile(0.5), 6*time.Millisecond)
	near("maximum", h.quantile(1), 100*time.Millisecond)
	near("99.5 %", h.quantile(0.995), 100*time.Millisecond)
	if got := h.above(50 * time.Millisecond); got != 0.01 {
		t.Errorf("above 50 ms: %v", got)
	}
	if h.total() != 1000 {
		t.Errorf("total %d", h.total())
	}
}
