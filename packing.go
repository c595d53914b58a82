package httppipe

import "time"

// packing says for how long requests may be expected to wait behind others, in place of
// more connections: for minQueue, doubled or halved as often as that has made answers no
// slower, or faster.
//
// Whether another connection would bring answers sooner does not show on those that there
// are. Where one thread of the origin, or this process, serves all of them, each gets the
// less of it the more are busy, and looks as slow as if its own handlers were. So it is
// tried. For a window of answers requests may wait twice as long, on fewer connections, or
// half as long, on more; that stays if answers are no slower, or faster, respectively.
// Otherwise it is taken back, and the next trial comes later.
type packing struct {
	doubled int           // how often minQueue is doubled; negative: halved
	trial   int           // 1 or -1 while one more, or less, is tried
	down    bool          // less is what is tried next
	before  time.Duration // mean time of answers before the trial
	n       int           // answers in this window
	sum     time.Duration // of the times that those in its second half took
	crowded int           // of these, who would have gone elsewhere if packed had been another
	after   time.Time     // when the next trial may begin
	pause   time.Duration // that it was put off by
}

const (
	// minDoubled and maxDoubled are where trials end: at 0.05 ms and 1.6 ms.
	minDoubled = -2
	maxDoubled = 3

	// maxPackTail is how many answers may be late where anything is tried, and requests
	// wait longer than minQueue: where many are, their times say little about the others',
	// and whoever waits behind one waits for much longer.
	maxPackTail = 1. / 256

	// packWindow is how many answers are compared with as many, after as many that are
	// not. Times that differ by less than one part in packNoise are the same.
	packWindow = 256
	packNoise  = 16

	minPackPause = 10 * time.Millisecond
	maxPackPause = 2 * time.Second
)

// doublings is how often minQueue is doubled now; negative, how often it is halved.
func (k *knowledge) doublings() int {
	doubled := k.packing.doubled + k.packing.trial
	if k.tail > maxPackTail {
		return min(doubled, 0)
	}
	return doubled
}

// weigh takes note of the answer to a request that had asked at arrived. crowded says that
// it would have gone elsewhere if packed had been another: windows with few such requests
// show nothing.
func (k *knowledge) weigh(now, arrived time.Time, crowded bool) {
	pk := &k.packing
	if k.tail > maxPackTail {
		pk.open()
		pk.trial = 0
	}
	if pk.n++; pk.n <= packWindow {
		return // those of the time before may still be on their way
	}
	pk.sum += min(now.Sub(arrived), k.rtt+k.patience())
	if crowded {
		pk.crowded++
	}
	if pk.n < 2*packWindow {
		return
	}
	mean, telling := pk.sum/packWindow, pk.crowded >= packWindow/8
	pk.open()
	noise := pk.before / packNoise
	switch {
	case pk.trial == 0:
		if telling && now.After(pk.after) {
			pk.before, pk.trial = mean, k.nextTrial()
		}
		return
	case telling && (pk.trial > 0 && mean <= pk.before+noise || pk.trial < 0 && mean < pk.before-noise):
		pk.doubled += pk.trial
		pk.pause = minPackPause
	default:
		pk.down = pk.trial > 0
		pk.pause = min(max(minPackPause, 2*pk.pause), maxPackPause)
	}
	pk.trial, pk.after = 0, now.Add(pk.pause)
}

// open begins another window.
func (pk *packing) open() { pk.n, pk.sum, pk.crowded = 0, 0, 0 }

// nextTrial returns what to try: what would make a difference, in the direction that is
// next, or else in the other; or 0.
func (k *knowledge) nextTrial() int {
	pk := &k.packing
	n := k.packedIf(pk.doubled)
	up := pk.doubled < maxDoubled && k.packedIf(pk.doubled+1) > n
	down := pk.doubled > minDoubled && k.packedIf(pk.doubled-1) < n
	switch {
	case down && (pk.down || !up):
		return -1
	case up:
		return 1
	}
	return 0
}
