package httppipe

import "time"

// packing says for how long requests may be expected to wait behind others, in place of
// more connections: for minQueue, doubled or halved as often as that has made answers no
// slower, or faster.
//
// Whether another connection would bring answers sooner does not show on those that there
// are. Where one thread of the origin, or this process, serves all of them, each gets the
// less of it the more are busy, and looks as slow as if its own handlers were. So it is
// tried. For a window of answers requests may wait for longer, on fewer connections, or
// less long, on more; that stays if answers are no slower, or faster, respectively.
// Otherwise it is taken back, and the next trial comes later.
type packing struct {
	doubled int           // how often minQueue is doubled; negative: halved
	trial   int           // how often more, or less, while that is tried
	down    bool          // less is what is tried next
	before  time.Duration // mean time of answers before the trial
	window  window
	after   instant       // when the next trial may begin
	pause   time.Duration // that it was put off by
}

// A window is answers whose times are compared with those of another. The first of them,
// twice as many as there are in flight at least, do not count: they may be of the time before.
type window struct {
	opened  instant
	limit   time.Duration // what is longer counts as this
	n       int           // answers that do not count, or that do
	counts  bool          // they do
	sum     time.Duration // of the times that they took
	crowded int           // of these, who would have gone elsewhere if packed had been another
}

const (
	// minDoubled and maxDoubled are where trials end: at 0.05 ms and 1.6 ms. Where answers
	// come so fast that half a window takes less than busyWindow, but take busyTimes as long
	// as one alone has, at 51 ms: there the origin or this process may have more to do than
	// it can, on any number of connections, and can do the less the more there are.
	minDoubled     = -2
	maxDoubled     = 3
	maxDoubledBusy = 8
	busyWindow     = 50 * time.Millisecond
	busyTimes      = 16

	// maxPackTail is how many answers may be late where anything is tried, and requests
	// wait longer than minQueue: where many are, their times say little about the others',
	// and whoever waits behind one waits for much longer.
	maxPackTail = 1. / 256

	// packWindow is how many answers are compared with as many, or more if these come
	// within minWindow. Times that differ by less than one part in packNoise are the same.
	// packFirst is how many come before these and do not count; and how many of those that
	// count end a trial if they take longer by one part in packWorse.
	// What takes more than packLimit times as long as the answers of the window before, on
	// average, counts as that: it is of another kind, and would decide alone.
	packWindow = 256
	packFirst  = 64
	packLimit  = 4
	minWindow  = 3 * time.Millisecond
	packNoise  = 16
	packWorse  = 4

	// packPauses is how many times as long as a window in full nothing is tried if that has failed;
	// busyPauses the same where it had requests wait for longer than maxDoubled says, so that
	// less than one answer of 100 shows it.
	packPauses   = 16
	busyPauses   = 256
	minPackPause = 10 * time.Millisecond
	maxPackPause = 10 * time.Second
)

// doublings is how often minQueue is doubled now; negative, how often it is halved.
func (k *knowledge) doublings() int {
	doubled := k.packing.doubled + k.packing.trial
	if k.tail > maxPackTail {
		return min(doubled, 0)
	}
	return doubled
}

// add takes note of the answer to a request that took so long, and reports whether
// the window is over.
func (w *window) add(now instant, took time.Duration, crowded bool, inFlight int) (over bool) {
	if w.n++; w.counts {
		w.sum += min(took, w.limit)
		if crowded {
			w.crowded++
		}
	} else if w.opened.IsZero() {
		w.opened = now
	}
	least := max(packFirst, 2*inFlight)
	if w.counts {
		least = max(packWindow, inFlight)
	}
	if w.n < least || now.Sub(w.opened) < minWindow {
		return false
	}
	if w.counts {
		return true
	}
	w.counts, w.n, w.opened = true, 0, now
	return false
}

// whole is how long the window takes in full, of which so much is over.
func (w *window) whole(now instant) time.Duration {
	return now.Sub(w.opened) * time.Duration(max(packWindow, w.n)) / time.Duration(w.n)
}

// isWorse reports whether answers take so much longer in a trial that the first of those that
// count show it.
func (pk *packing) isWorse(inFlight int) bool {
	w := &pk.window
	return pk.trial != 0 && w.n == max(packFirst, inFlight) &&
		w.sum > time.Duration(w.n)*(pk.before+pk.before/packWorse)
}

// weigh takes note of the answer to a request that had asked at arrived, while inFlight
// are in flight. crowded says that it would have gone elsewhere if packed had been another:
// windows with few such requests show nothing.
func (k *knowledge) weigh(now, arrived instant, crowded bool, inFlight int) {
	pk := &k.packing
	if opened := pk.window.opened; pk.doubled > maxDoubled && !opened.IsZero() && now.Sub(opened) > 2*busyWindow {
		pk.doubled, pk.trial, pk.window = maxDoubled, 0, window{} // it is not busy any more
	}
	if k.tail > maxPackTail {
		pk.window, pk.trial = window{}, 0
		return
	}
	if pk.window.limit == 0 {
		pk.window.limit = packLimit * (k.rtt + k.patience())
	}
	if !pk.window.add(now, now.Sub(arrived), crowded, inFlight) && !pk.isWorse(inFlight) {
		return
	}
	w := pk.window
	mean, telling := w.sum/time.Duration(w.n), w.crowded >= w.n/8
	pk.window = window{opened: now, limit: packLimit * mean}
	most := maxDoubled
	if now.Sub(w.opened) < busyWindow && mean > busyTimes*k.rtt {
		most = maxDoubledBusy
	}
	noise := pk.before / packNoise
	switch {
	case pk.trial == 0:
		pk.doubled = min(pk.doubled, most)
		if telling && now.After(pk.after) {
			pk.before, pk.trial = mean, k.nextTrial(most)
		}
		return
	case telling && (pk.trial > 0 && mean <= pk.before+noise || pk.trial < 0 && mean < pk.before-noise):
		pk.doubled += pk.trial
		pk.pause = minPackPause
	default:
		pk.down = pk.trial > 0
		pk.pause = max(min(2*pk.pause, maxPackPause), packPauses*w.whole(now))
		if pk.doubled+pk.trial > maxDoubled {
			pk.pause = busyPauses * w.whole(now)
		}
	}
	pk.trial, pk.after = 0, now.Add(pk.pause)
}

// nextTrial returns what to try: the next that would make a difference, in the direction
// that is next, or else in the other; or 0.
func (k *knowledge) nextTrial(most int) int {
	pk := &k.packing
	n, up, down := k.packedIf(pk.doubled), 1, -1
	for pk.doubled+up < most && k.packedIf(pk.doubled+up) == n {
		up++
	}
	for pk.doubled+down > minDoubled && k.packedIf(pk.doubled+down) == n {
		down--
	}
	isUp := pk.doubled+up <= most && k.packedIf(pk.doubled+up) > n
	isDown := pk.doubled+down >= minDoubled && k.packedIf(pk.doubled+down) < n
	switch {
	case isDown && (pk.down || !isUp):
		return down
	case isUp:
		return up
	}
	return 0
}
