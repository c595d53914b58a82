package load

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
	"github.com/httppipe/httppipe/bench/internal/result"
)

const (
	// settleTime is what readers, writers and timers get to come to rest.
	settleTime = 500 * time.Millisecond
	// holdTime is how long the origin keeps requests, in milliseconds: for
	// idle connections long enough that all of them are open at once, for
	// waiting callers longer than the measurement.
	holdIdle, holdWaiting = 500, 60_000
)

// held measures memory: the heap in use and the stacks, after garbage
// collection, before and while opts.Concurrency connections are idle or callers
// wait. The callers' goroutines and requests are part of the latter.
func held(opts Options, cfg contestant.Config, c contestant.Contestant) (result.Result, error) {
	res := result.Result{Name: opts.Name}
	workers := make([]contestant.Worker, opts.Concurrency)
	for i := range workers {
		workers[i] = c.NewWorker()
	}
	// One request sets up what a client makes once.
	if err := c.NewWorker().Do(&contestant.Op{Path: "/b/128", Want: 128}); err != nil {
		return res, err
	}
	before, goroutines := inUse()
	switch opts.Held {
	case HeldIdle:
		op := &contestant.Op{Method: "POST", Path: fmt.Sprintf("/slow/%d", holdIdle), Want: 16}
		if err := doAll(workers, op); err != nil {
			return res, err
		}
		clear(workers)
	case HeldWaiting:
		op := &contestant.Op{Path: fmt.Sprintf("/slow/%d", holdWaiting), Want: 128}
		for _, w := range workers {
			go w.Do(op) // ends with the process
		}
	default:
		return res, fmt.Errorf("unknown kind of memory %q", opts.Held)
	}
	time.Sleep(settleTime)
	after, goroutinesAfter := inUse()
	runtime.KeepAlive(c)
	runtime.KeepAlive(workers)

	res.Conns = cfg.Dialed()
	n := float64(opts.Concurrency)
	if opts.Held == HeldIdle {
		if n = float64(res.Conns - 1); n < 1 {
			return res, errors.New("no connection was opened for the POST requests")
		}
	}
	res.Requests = int64(n)
	res.Held = float64(after-before) / n
	res.Goroutines = float64(goroutinesAfter-goroutines) / n
	return res, nil
}

// doAll sends op from all workers at once and waits for the answers.
func doAll(workers []contestant.Worker, op *contestant.Op) error {
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() { errs[i] = w.Do(op) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// inUse returns the octets of heap and stacks in use, and the number of
// goroutines.
func inUse() (octets int64, goroutines int) {
	for range 3 { // a sync.Pool keeps what it has for two collections
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}
