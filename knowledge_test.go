package httppipe

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/pipeline"
)

// A pause of the origin used to count once for each connection, after which so few
// requests went on each that dozens were dialed. Where others are answered meanwhile,
// it is no pause, however many are late.
func TestLateAnswersAfterAPauseCountAsOne(t *testing.T) {
	const late = 16
	tail := func(pause time.Duration, between int) float64 {
		k := &knowledge{rtt: time.Millisecond}
		now := clock()
		inTime := func() { k.answered(now, 10*time.Millisecond, 10*time.Microsecond, false, false) }
		for range 8 * tailMemory { // what was assumed is forgotten
			now = now.Add(10 * time.Microsecond)
			inTime()
		}
		now = now.Add(pause)
		for range late {
			for range between {
				now = now.Add(10 * time.Microsecond)
				inTime()
			}
			k.answered(now, 100*time.Millisecond, 100*time.Millisecond, false, false)
		}
		return k.tail * tailMemory
	}
	require.InDelta(t, 1, tail(100*time.Millisecond, 0), .1)
	require.InDelta(t, late, tail(10*time.Microsecond, 0), .5)
	require.InDelta(t, 1, tail(100*time.Millisecond, 5), .3)
	require.InDelta(t, late, tail(10*time.Microsecond, 5), 2)
}

// What is known to be late before it comes counts once, and of those late while none comes
// at all one does: that one thing holds up all is as likely.
func TestLateAnswersCountBeforeTheyCome(t *testing.T) {
	now := clock()
	k := &knowledge{rtt: time.Millisecond, known: true, usual: time.Millisecond, tailOf: tailMemory}
	late := func() float64 { return k.tail * tailMemory }
	inTime := func() { k.answered(now, time.Millisecond, 10*time.Microsecond, false, false) }
	slow := func(found, counted bool) { k.answered(now, 100*time.Millisecond, 100*time.Millisecond, found, counted) }

	inTime()
	require.True(t, k.learnLate(now, k.patience()))
	require.True(t, k.learnLate(now, k.patience()), "others are answered meanwhile")
	require.InDelta(t, 2, late(), .1)
	require.Equal(t, k.patience(), k.excess)
	slow(false, true)
	require.InDelta(t, 2, late(), .1, "it has been counted")
	require.Greater(t, k.excess, k.patience(), "but was later than that")

	k.tail = 0
	now = now.Add(100 * time.Millisecond)
	require.True(t, k.learnLate(now, k.patience()))
	require.False(t, k.learnLate(now, k.patience()))
	excess := k.excess
	slow(false, false)
	require.InDelta(t, 2, late(), .1, "it may have nothing to do with the one that has counted")
	require.Greater(t, k.excess, excess)
	excess = k.excess
	slow(false, true)
	require.InDelta(t, 1, late(), .1, "but that comes with it, after a pause")
	require.Equal(t, excess, k.excess)
	now = now.Add(time.Second)
	slow(false, false)
	require.InDelta(t, 2, late(), .1, "of this pause none had been counted")

	k.tail = 0
	require.True(t, k.learnLate(now, k.patience()))
	slow(true, true)
	require.Zero(t, k.tail, "it came in time, and nobody was there to see it")
}

// Of an origin that has answered a few times it is assumed that some answers are late, the more so
// the nearer it is; and the first that are count for more.
func TestSomeAnswersAreAssumedToBeLate(t *testing.T) {
	after := func(rtt time.Duration, n int) *knowledge {
		k := new(knowledge)
		k.answered(clock(), rtt, rtt, false, false)
		for range n - 1 {
			k.answered(clock(), rtt, time.Nanosecond, false, false)
		}
		return k
	}
	for _, rtt := range []time.Duration{0, time.Millisecond, unknownUsual} {
		require.Equal(t, 5, after(rtt, 1).packed(), rtt)
		require.Equal(t, 9, after(rtt, 65).packed(), rtt)
		require.Equal(t, 33, after(rtt, tailMemory-tailAssumed).packed(), rtt)
		require.Greater(t, after(rtt, 2*tailMemory).packed(), 2*33, rtt)
	}
	require.Equal(t, 41, after(10*unknownUsual, 1).packed())

	for _, counted := range []bool{false, true} {
		k := after(time.Millisecond, 63)
		now := clock()
		k.answeredAt = now
		if counted {
			require.True(t, k.learnLate(now, time.Second))
		}
		k.answered(now, time.Second, time.Second, false, counted)
		require.InDelta(t, 2./128, k.tail, 1./4096, "it and the one assumed, of as many as assumed and these")
	}
	k := after(time.Millisecond, 63)
	require.True(t, k.learnLate(clock(), time.Second))
	k.answered(clock(), time.Second, time.Second, true, true)
	require.InDelta(t, 1./128, k.tail, 1./4096, "it was not late after all")
}

// Of answers that are late and never come no more can be late than all.
func TestShareOfLateAnswersIsAShare(t *testing.T) {
	k := &knowledge{known: true, usual: time.Millisecond}
	now := clock()
	for range 3 * tailMemory {
		k.answeredAt = now
		require.True(t, k.learnLate(now, time.Second))
	}
	require.EqualValues(t, 1, k.tail)
}

func TestWhoWaitsIsBetterOffWithADial(t *testing.T) {
	for _, test := range []struct {
		usual, dial, lag, patience time.Duration
	}{
		{200 * time.Millisecond, time.Millisecond, 0, minPatience},
		{200 * time.Millisecond, 50 * time.Millisecond, 0, 50 * time.Millisecond},
		{200 * time.Millisecond, time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond},
		{4 * time.Millisecond, 50 * time.Millisecond, 0, 12 * time.Millisecond},
	} {
		k := &knowledge{known: true, usual: test.usual, dial: test.dial, lag: test.lag}
		require.Equal(t, test.patience, k.patienceForDial(), test)
	}
}

// Where connections end after a few answers, all who share begin anew with each: that takes
// as long as answers do, also where it is not the way to where connections end.
func TestConnectionsThatEndSoonAreNotSharedWhereAnswersTakeLong(t *testing.T) {
	for rtt, shared := range map[time.Duration]bool{time.Millisecond: true, 50 * time.Millisecond: false} {
		k := &knowledge{rtt: rtt, way: time.Millisecond / 5, most: 20, limited: true, load: 8}
		require.Equal(t, shared, k.packed() > 1, rtt)
	}
}

// Services of a few microseconds used to be learnt to the nanosecond only, so that small
// differences never moved the mean of thousands.
func TestShortServicesAreLearnt(t *testing.T) {
	k := &knowledge{rtt: time.Millisecond}
	for _, service := range []time.Duration{1500, 4000, 500} {
		for range 100_000 {
			k.answered(clock(), 10*time.Millisecond, service, false, false)
		}
		require.InEpsilon(t, float64(service), float64(k.service), .01)
	}
	// Bursts: most come at once, and one of 64 after a pause. That is no change.
	least, most := time.Hour, time.Duration(0)
	for i := range 100_000 {
		gap := 100 * time.Nanosecond
		if i%64 == 0 {
			gap = 200 * time.Microsecond
		}
		k.answered(clock(), 10*time.Millisecond, gap, false, false)
		if i > 50_000 {
			least, most = min(least, k.service), max(most, k.service)
		}
	}
	require.Less(t, most, 2*least+time.Microsecond)
}

// weighed is the packing that comes of answers, one each so often, that take as long as
// took says, where requests may wait so long.
func weighed(k *knowledge, answers int, each time.Duration, took func(wait time.Duration) time.Duration) packing {
	now := k.packing.after
	for range answers {
		now = now.Add(each)
		wait := k.queue(k.doublings())
		k.weigh(now, now.Add(-took(wait)), true, 1)
	}
	return k.packing
}

// Fewer connections carry what is not slower on them, and more what is.
func TestPackingIsTried(t *testing.T) {
	k := &knowledge{known: true, rtt: 100 * time.Microsecond, service: 50 * time.Microsecond, mean: 50e3}
	same := func(time.Duration) time.Duration { return time.Millisecond }
	slower := func(wait time.Duration) time.Duration { return 300*time.Microsecond + wait }
	const each = time.Millisecond
	require.Equal(t, maxDoubled, weighed(k, 20_000, each, same).doubled)
	pk := weighed(k, 200_000, each, slower)
	require.Equal(t, minDoubled, pk.doubled)
	require.Equal(t, maxPackPause, pk.pause, "it is hardly tried any more")
	require.Equal(t, maxDoubled, weighed(k, 200_000, each, same).doubled)

	k.tail = .03
	require.Equal(t, minQueue, k.queue(k.doublings()), "who waits behind a late answer waits for long")

	// What would make no difference is not tried: it could seem to do no harm.
	k = &knowledge{rtt: 100 * time.Microsecond, service: 10 * time.Millisecond, mean: 10e6}
	require.Zero(t, weighed(k, 20_000, each, same).doubled)
}

// Where answers come slowly, so that a trial lasts for a good part of a second, a fifth of the
// first answers, and for ever one of ten, used to be held up by trials; and later, until a
// trial ended when its first answers had shown what it brings, a tenth of the first.
func TestTrialsThatFailHoldUpFew(t *testing.T) {
	k := &knowledge{known: true, rtt: 1100 * time.Microsecond, service: time.Millisecond, mean: 1e6}
	tried := 0
	longer := func(wait time.Duration) time.Duration {
		if k.packing.trial != 0 {
			tried++
		}
		if wait > k.service {
			return 3 * k.service / 2
		}
		return k.service
	}
	share := func(answers int, each time.Duration) float64 {
		tried = 0
		weighed(k, answers, each, longer)
		return float64(tried) / float64(answers)
	}
	require.Less(t, share(5000, 400*time.Microsecond), .06)
	share(50_000, 400*time.Microsecond)
	require.Less(t, share(50_000, 400*time.Microsecond), .01)
	require.Less(t, share(50_000, 10*time.Millisecond), .05)
}

// A busy process, with a connection for each of its callers, used to keep them all: on each
// of them answers were so slow that nobody could be sent behind another, because there were
// so many. How slow the origin may be for that is bounded where answers do not come fast.
func TestManyBusyConnectionsBecomeFewer(t *testing.T) {
	const conns = 256
	var k *knowledge
	busy := func(conns int) time.Duration { return time.Duration(conns) * 10 * time.Microsecond }
	left := func(each time.Duration) int {
		k = &knowledge{rtt: 100 * time.Microsecond}
		now, n := clock(), conns
		for range 200_000 {
			k.service = busy(n) // which is what each of them shows
			n = conns / min(conns, k.packed())
			now = now.Add(each)
			k.weigh(now, now.Add(-busy(conns)), true, conns)
		}
		return n
	}
	require.LessOrEqual(t, left(10*time.Microsecond), 4)
	require.LessOrEqual(t, k.packing.doubled, maxDoubledBusy)
	require.Equal(t, conns, left(time.Millisecond))
	require.LessOrEqual(t, k.packing.doubled, maxDoubled)
}

// What was in flight when a trial began was sent by the rules of before, and used to be all
// that a window saw where more was in flight than it counted.
func TestWindowLetsPassWhatWasInFlight(t *testing.T) {
	now := clock()
	var w window
	for n := 1; ; n++ {
		now = now.Add(time.Millisecond)
		if w.add(now, 0, false, 3*packWindow) {
			require.Equal(t, 9*packWindow, n)
			break
		}
		require.Equal(t, n >= 6*packWindow, w.counts)
	}
	require.Equal(t, 3*packWindow, w.n)
}

// The first answers of a trial that count end it, as many as are in flight, if they take
// longer by a quarter; and those of a window that is none do not.
func TestFirstAnswersEndTrialThatIsWorse(t *testing.T) {
	const before = time.Millisecond
	counted := func(trial, inFlight int, took time.Duration) int {
		pk := packing{trial: trial, before: before}
		pk.window = window{opened: clock(), limit: packLimit * before, counts: true}
		k := &knowledge{packing: pk}
		now := pk.window.opened
		for n := 1; ; n++ {
			now = now.Add(before)
			if k.weigh(now, now.Add(-took), true, inFlight); !k.packing.window.counts {
				return n
			}
		}
	}
	require.Equal(t, packFirst, counted(1, 1, 2*before))
	require.Equal(t, packFirst, counted(-1, 1, 2*before))
	require.Equal(t, packFirst+1, counted(1, packFirst+1, 2*before))
	require.Equal(t, packWindow, counted(1, 1, before+before/8))
	require.Equal(t, packWindow, counted(0, 1, 2*before))
}

// Of answers that take longer than is usual only so much used to count as that, so that
// those of handlers of 5 ms seemed to take no longer when each waited for another.
func TestTrialSeesAnswersThatTakeTwiceAsLong(t *testing.T) {
	k := &knowledge{known: true, rtt: 100 * time.Microsecond, service: 5 * time.Millisecond, mean: 5e6, usual: minUsual}
	require.Less(t, k.rtt+k.patience(), 2*k.service)
	took := func(wait time.Duration) time.Duration {
		if wait > k.service {
			return 2*k.service + k.rtt
		}
		return k.service + k.rtt
	}
	require.Zero(t, weighed(k, 200_000, 100*time.Microsecond, took).doubled)
	require.Greater(t, k.packing.pause, 100*minPackPause, "few are held up by trials")
}

// What very many callers had taught used to hold up few, until these had been answered
// hundreds of times.
func TestFewCallersDoNotWaitAsManyDo(t *testing.T) {
	k := &knowledge{rtt: 100 * time.Microsecond, packing: packing{doubled: maxDoubledBusy}}
	now := clock()
	answered := func() { k.weigh(now, now.Add(-time.Millisecond), true, 6) }
	answered()
	now = now.Add(2 * busyWindow)
	answered()
	require.Equal(t, maxDoubledBusy, k.packing.doubled)
	now = now.Add(1)
	answered()
	require.Equal(t, maxDoubled, k.packing.doubled)
}

// Until a request was seen that had waited behind another, handlers used to be taken for as
// quick as can be.
func TestServiceIsWhatAnAnswerTakesLongerThanTheWay(t *testing.T) {
	now := clock()
	for way, want := range map[time.Duration]time.Duration{
		2 * time.Millisecond:  20*time.Millisecond - minPatience,
		18 * time.Millisecond: 0, // this machine may have been the reason
		22 * time.Millisecond: 0,
		30 * time.Millisecond: 0,
		0:                     0, // not known
	} {
		var k knowledge
		if way > 0 {
			k.reached(way)
		}
		k.dialed(now, time.Millisecond) // to a proxy perhaps
		k.answered(now, 22*time.Millisecond, 22*time.Millisecond, false, false)
		require.Equal(t, want, k.service)
		require.Equal(t, want > 0, k.packed() == 1)
		for _, found := range []bool{true, false} {
			k := k
			k.answered(now, 23*time.Millisecond, time.Millisecond, found, false)
			if found && want == 0 {
				require.Zero(t, k.service)
			} else {
				require.Equal(t, time.Millisecond, k.service, "it was seen")
			}
		}
		k.answered(now, 23*time.Millisecond, time.Millisecond, false, false)
		k.answered(now, 22*time.Millisecond, 22*time.Millisecond, false, false)
		require.Equal(t, time.Millisecond, k.service)
	}
}

// Connections that end after few answers are not worth what it takes to share them.
func TestConnectionsThatEndSoonAreNotShared(t *testing.T) {
	far, near := 50*time.Millisecond, time.Millisecond
	for _, test := range []struct {
		way           time.Duration
		closes        []int // after so many answers, in good order
		ends          []int // without a word
		proof         proof
		most          int
		brief, shared bool
	}{
		{way: far, proof: proofOpen, shared: true},
		{way: far, closes: []int{100}, proof: proofOpen, most: 100, shared: true}, // which may be chance
		{way: far, closes: []int{100, 100}, proof: proofOpen, most: 100, brief: true},
		{way: far, closes: []int{100, 100, 50}, proof: proofOpen, most: 50, shared: true},
		{way: far, closes: []int{100, 100}, ends: []int{50}, proof: proofOpen, most: 100, shared: true},
		{way: far, closes: []int{100, 1, 1}, proof: proofOpen, most: 100, shared: true}, // errors
		{way: far, closes: []int{300, 300}, proof: proofOpen, most: 300, shared: true},
		{way: near, closes: []int{100, 100}, proof: proofOpen, most: 100, shared: true},
		{way: near, closes: []int{5}, proof: proofOpen, most: 5, brief: true, shared: true},
		{way: near, closes: []int{1, 1}, shared: true},
		{way: near, closes: []int{1, 1, 1}, brief: true, shared: true},
		{way: far, ends: []int{1, 2, 1}, brief: true, shared: true},
		{way: far, ends: []int{20}, proof: proofOpen, shared: true},
		{way: far, ends: []int{20, 21, 20}, proof: proofOpen, shared: true},
		{way: far, ends: []int{21, 20, 20}, proof: proofOpen, most: 20, brief: true},
	} {
		k := knowledge{load: 25}
		k.reached(test.way)
		for _, n := range test.closes {
			k.ends(n, true, test.proof)
		}
		for _, n := range test.ends {
			k.ends(n, false, test.proof)
		}
		require.Equal(t, test.most, k.most, test)
		require.Equal(t, test.brief, k.brief(), test)
		require.Equal(t, test.shared, k.packed() > 1, test)
	}
}

// A connection that ends idle, or that we give up, says nothing of the origin; and one that
// has passed all steps makes up for those that have not.
func TestEndsThatSayNothing(t *testing.T) {
	p := newTestPlace(new(Transport))
	c := &conn{place: p, proof: proofPair, answered: 2}
	p.learnEnd(c, io.EOF)
	require.Zero(t, p.known.fruitless)
	c.unanswered = true
	p.learnEnd(c, &pipeline.ConnectionError{Err: pipeline.ErrRetired})
	require.Zero(t, p.known.fruitless)
	p.learnEnd(c, io.EOF)
	require.Equal(t, 1, p.known.fruitless)

	c = &conn{place: p, proof: proofPair, pair: 1, oneWrite: true}
	x := &exchange{out: &outgoing{}, assigned: clock()}
	x.call.Response.StatusCode = http.StatusOK
	p.known.most, p.known.limited = 0, true
	p.learnAnswer(c, x, clock())
	require.Zero(t, p.known.fruitless)
	require.False(t, p.known.limited, "it has answered more than others")
}

// tenWait is a place where ten wait, as both connections carry as many as they may.
func tenWait(now instant) (p *place, a, b *conn) {
	p, a, b, get := twoConns(new(Transport))
	for range p.t.depth() {
		p.assign(get(), a, now)
		p.assign(get(), b, now)
	}
	for range 10 {
		x := get()
		x.since = now
		p.shared.push(x)
	}
	return p, a, b
}

// Near an origin who waits shares connections that carry many soon.
func TestNoDialForEachWhereAnswersTakeNoTime(t *testing.T) {
	now := clock()
	for rtt, dials := range map[time.Duration]int{4 * time.Millisecond: 1, 6 * time.Millisecond: 10} {
		p, _, _ := tenWait(now)
		p.known.rtt, p.known.way, p.known.dial = rtt, time.Millisecond/5, time.Millisecond/5
		require.Equal(t, dials, p.needed(now), rtt)
	}
}

// Who waits where a dial is sooner than the next answers, which bring room, has one: whether
// or not a connection has shown that the origin can pipeline. Else that decides.
func TestDialsThatAreSoonAreForAll(t *testing.T) {
	now := clock()
	p, a, b := tenWait(now)
	p.known.rtt, p.known.service = 100*time.Millisecond, time.Millisecond
	for dial, all := range map[time.Duration]bool{time.Millisecond: true, 100 * time.Millisecond: false} {
		p.known.dial = dial
		a.proof, b.proof, p.conns.proven = proofOpen, proofOpen, 2
		require.Equal(t, all, p.needed(now) == 10, "proved, dials take %v", dial)
		a.proof, b.proof, p.conns.proven = proofPair, proofPair, 0
		require.Equal(t, all, p.needed(now) == 10, "to be proved, dials take %v", dial)
	}
}
