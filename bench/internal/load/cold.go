package load

import (
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
	"github.com/httppipe/httppipe/bench/internal/result"
)

// cold measures what the other rows leave out as warm-up: each batch has a new
// client, without connections and without knowledge of the origin, whose callers
// send one request each, all at once. What counts is the time until the last of
// them is answered.
func cold(opts Options, cfg contestant.Config, op *contestant.Op) (result.Result, error) {
	var batches histogram
	begin := time.Now()
	before := takeSample()
	for time.Since(begin) < opts.Duration {
		c, err := contestant.New(opts.Name, cfg)
		if err != nil {
			return result.Result{}, err
		}
		workers := make([]contestant.Worker, opts.Concurrency)
		for i := range workers {
			workers[i] = c.NewWorker()
		}
		sent := time.Now()
		if err := doAll(workers, op); err != nil {
			return result.Result{}, err
		}
		batches.add(time.Since(sent), 1)
	}
	after := takeSample()
	n := batches.total()
	res := result.Result{
		Name:     opts.Name,
		Requests: n * int64(opts.Concurrency),
		Seconds:  after.at.Sub(before.at).Seconds(),
		Batch:    micros(batches.quantile(0.5)) / 1000,
		Conns:    cfg.Dialed() / n,
	}
	res.PerSecond = float64(res.Requests) / res.Seconds
	after.since(before, &res)
	return res, nil
}
