package load

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
	"github.com/httppipe/httppipe/bench/internal/result"
)

// lateAfter is what callers call late where one request in a hundred takes
// 100 ms: half of that, in somebody else's request.
const lateAfter = 50 * time.Millisecond

// A phase of the run. Only what ends while measuring is counted.
type phase int32

const (
	warmingUp phase = iota
	measuring
	over
)

// A run is one measurement under way.
type run struct {
	opts Options
	op   *contestant.Op
	slow *contestant.Op // or nil

	phase    atomic.Int32
	stop     atomic.Bool  // the same as over, for pumpers
	begun    atomic.Int64 // requests since the process began
	firstErr atomic.Pointer[string]
	failed   chan error // a pumper gave up

	mu     sync.Mutex
	counts []*count // one per caller; guarded by mu
}

// A count is what one caller has seen. Only that caller adds to it.
type count struct {
	errors     atomic.Int64
	fast, slow histogram
}

// Run does what opts say and returns what was measured. It leaves callers and
// connections behind; the process is expected to end.
func Run(opts Options) (result.Result, error) {
	if err := supported(); err != nil {
		return result.Result{}, err
	}
	cfg := contestant.NewConfig(contestant.Config{
		Addr: opts.Addr, TLS: opts.TLS, Conns: opts.Conns, Concurrency: opts.Concurrency, Mode: contestant.Mode(opts.Mode),
	})
	c, err := contestant.New(opts.Name, cfg)
	if err != nil {
		return result.Result{}, err
	}
	if opts.Held != "" {
		return held(opts, cfg, c)
	}
	op, err := opts.op()
	if err != nil {
		return result.Result{}, err
	}
	if opts.Cold {
		return cold(opts, cfg, op)
	}
	r := &run{opts: opts, op: op, slow: opts.slowOp(), failed: make(chan error, 1)}
	if err := r.start(c); err != nil {
		return result.Result{}, err
	}
	before, after, err := r.measure()
	if err != nil {
		return result.Result{}, err
	}
	res := r.result(before, after)
	res.Conns = cfg.Dialed()
	if c, ok := c.(contestant.Repeater); ok {
		again := float64(c.Repeated()) / float64(max(1, r.begun.Load()))
		res.Again = &again
	}
	return res, nil
}

// start sets the callers going, or the pumper.
func (r *run) start(c contestant.Contestant) error {
	if p, ok := c.(contestant.Pumper); ok && r.op.Upload == nil {
		if r.slow != nil {
			return errPumpMix
		}
		go func() { r.failed <- p.Pump(r.op, &r.stop, r.pumpCount) }()
		return nil
	}
	if r.opts.Rate > 0 {
		go r.pace(c)
		return nil
	}
	for i := range r.opts.Concurrency {
		go r.loop(&caller{c.NewWorker(), r.newCount()}, newRandom(i))
	}
	return nil
}

func (r *run) newCount() *count {
	n := new(count)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = append(r.counts, n)
	return n
}

func (r *run) pumpCount() func(int, time.Time) {
	c := r.newCount()
	return func(n int, sent time.Time) {
		if phase(r.phase.Load()) == measuring {
			c.fast.add(time.Since(sent), n)
		}
	}
}

// A caller sends one request at a time.
type caller struct {
	w contestant.Worker
	n *count
}

func newRandom(i int) *rand.Rand { return rand.New(rand.NewPCG(uint64(i), 1)) }

// loop is one caller in a closed loop: the next request begins when the last one
// has ended.
func (r *run) loop(c *caller, random *rand.Rand) {
	for due := time.Now(); phase(r.phase.Load()) != over; {
		due = r.send(c, r.isSlow(random), due)
	}
}

func (r *run) isSlow(random *rand.Rand) bool {
	return r.slow != nil && random.IntN(r.opts.SlowEvery) == 0
}

// send sends one request that its caller wanted to send at due, and returns when it
// ended. Its time counts from due on, so that nothing that delays the sending
// of it is left out.
func (r *run) send(c *caller, slow bool, due time.Time) (end time.Time) {
	op, hist := r.op, &c.n.fast
	if slow {
		op, hist = r.slow, &c.n.slow
	}
	r.begun.Add(1)
	err := c.w.Do(op)
	end = time.Now()
	measured := phase(r.phase.Load()) == measuring
	if err == nil {
		if measured {
			hist.add(end.Sub(due), 1)
		}
		return end
	}
	if measured {
		c.n.errors.Add(1)
	}
	s := err.Error()
	r.firstErr.CompareAndSwap(nil, &s)
	time.Sleep(time.Millisecond) // rather than to spin
	return time.Now()
}

// measure lets the run warm up and takes samples before and after the measured
// time.
func (r *run) measure() (before, after sample, err error) {
	if err := r.wait(r.opts.WarmUp); err != nil {
		return before, after, err
	}
	if r.opts.CPUProfile != "" {
		f, err := os.Create(r.opts.CPUProfile)
		if err != nil {
			return before, after, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return before, after, err
		}
		defer pprof.StopCPUProfile()
	}
	runtime.GC() // so that all contestants begin at the same point
	before = takeSample()
	r.phase.Store(int32(measuring))
	err = r.wait(r.opts.Duration)
	r.phase.Store(int32(over))
	after = takeSample()
	r.stop.Store(true)
	return before, after, err
}

// wait waits for d, unless a pumper fails before.
func (r *run) wait(d time.Duration) error {
	select {
	case err := <-r.failed:
		return err
	case <-time.After(d):
		return nil
	}
}

func (r *run) result(before, after sample) result.Result {
	var fast, slow histogram
	res := result.Result{Name: r.opts.Name, Seconds: after.at.Sub(before.at).Seconds()}
	r.mu.Lock()
	for _, c := range r.counts {
		res.Errors += c.errors.Load()
		fast.merge(&c.fast)
		slow.merge(&c.slow)
	}
	r.mu.Unlock()
	if e := r.firstErr.Load(); e != nil {
		res.FirstError = *e
	}
	res.Requests = fast.total() + slow.total()
	res.PerSecond = float64(res.Requests) / res.Seconds
	if r.op.Upload != nil {
		res.GBps = res.PerSecond * float64(r.op.UploadLen) / 1e9
	}
	after.since(before, &res)
	res.P50, res.P99, res.Max = micros(fast.quantile(0.5)), micros(fast.quantile(0.99)), micros(fast.quantile(1))
	res.Late = fast.above(lateAfter)
	res.SlowP50, res.SlowP99 = micros(slow.quantile(0.5)), micros(slow.quantile(0.99))
	return res
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
