// Package report turns results into ratios, tables, pictures and verdicts.
//
// Machines are shared and their speed changes from second to second. Therefore
// contestants are compared within a round, where they ran right after each
// other, and what is reported is the median of those ratios, with their range.
package report

import (
	"math"
	"slices"

	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// A Row is a workload with what was measured.
type Row struct {
	Workload workload.Workload
	Results  []result.Result // all rounds of all contestants
}

// A Metric reads one number off a result.
type Metric func(result.Result) float64

// Metrics by the names that bars use. Lower is better for all but rps.
var Metrics = map[string]Metric{
	"rps":      func(r result.Result) float64 { return r.PerSecond },
	"cpu":      func(r result.Result) float64 { return r.CPU },
	"allocs":   func(r result.Result) float64 { return r.Allocs },
	"bytes":    func(r result.Result) float64 { return r.Bytes },
	"calls":    func(r result.Result) float64 { return r.Reads + r.Writes },
	"switches": func(r result.Result) float64 { return r.Switches },
	"conns":    func(r result.Result) float64 { return float64(r.Conns) },
	"p50":      func(r result.Result) float64 { return r.P50 },
	"p99":      func(r result.Result) float64 { return r.P99 },
	"late":     func(r result.Result) float64 { return r.Late },
	"again": func(r result.Result) float64 {
		if r.Again == nil {
			return math.NaN()
		}
		return *r.Again
	},
	"batch":  func(r result.Result) float64 { return r.Batch },
	"held":   func(r result.Result) float64 { return r.Held },
	"errors": func(r result.Result) float64 { return float64(r.Errors) },
}

// has reports whether a contestant was measured.
func (r Row) has(name string) bool {
	return slices.ContainsFunc(r.Results, func(res result.Result) bool { return res.Name == name })
}

// values are those of one contestant, by round.
func (r Row) values(name string, m Metric) []float64 {
	var v []float64
	for _, res := range r.Results {
		if res.Name == name {
			v = append(v, m(res))
		}
	}
	return v
}

// median of a contestant's values.
func (r Row) median(name string, m Metric) float64 { return median(r.values(name, m)) }

// ratios of name to base, one for each round that has both. Rounds in which
// base is 0 have none.
func (r Row) ratios(name, base string, m Metric) []float64 {
	var v []float64
	for _, a := range r.Results {
		if a.Name != name {
			continue
		}
		for _, b := range r.Results {
			if b.Name == base && b.Round == a.Round && m(b) != 0 {
				v = append(v, m(a)/m(b))
			}
		}
	}
	return v
}

// median of v; NaN if there is nothing.
func median(v []float64) float64 {
	n := len(v)
	if n == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(n-1)/2] + v[n/2]) / 2
}

// quantile of v, without interpolation; NaN if there is nothing.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
