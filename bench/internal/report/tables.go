package report

import (
	"fmt"

	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// A column of a row's table: how one contestant's cell comes about.
type column struct {
	head string
	cell func(r Row, name string) string
}

// value is the median of a metric.
func value(head string, m Metric, format func(float64) string) column {
	return column{head, func(r Row, name string) string { return format(r.median(name, m)) }}
}

// ratio is that to the row's base.
func ratio(head string, m Metric) column {
	return column{head, func(r Row, name string) string { return spread(r.ratios(name, r.Workload.Base, m)) }}
}

func digits(n int) func(float64) string { return func(x float64) string { return fixed(x, n) } }

var (
	throughput = value("req/s", Metrics["rps"], number)
	octets     = value("GB/s", func(r result.Result) float64 { return r.GBps }, digits(2))

	// costs follow in all tables but Cold's and Memory's.
	costs = []column{
		ratio("×", Metrics["rps"]),
		value("CPU µs", Metrics["cpu"], number),
		ratio("CPU ×", Metrics["cpu"]),
		{"user + system", func(r Row, name string) string {
			user := r.median(name, func(r result.Result) float64 { return r.User })
			return number(user) + " + " + number(r.median(name, func(r result.Result) float64 { return r.System }))
		}},
		value("allocs", Metrics["allocs"], digits(1)),
		value("B", Metrics["bytes"], digits(0)),
		value("conns", Metrics["conns"], digits(0)),
		value("p50 µs", Metrics["p50"], number),
		value("p99 µs", Metrics["p99"], number),
		value("reads", func(r result.Result) float64 { return r.Reads }, digits(2)),
		value("writes", func(r result.Result) float64 { return r.Writes }, digits(2)),
		value("switches", Metrics["switches"], digits(2)),
		{"errors", func(r Row, name string) string {
			var n float64
			for _, v := range r.values(name, Metrics["errors"]) {
				n += v
			}
			return fixed(n, 0)
		}},
		value("stall ms", func(r result.Result) float64 { return r.Stall }, number),
	}

	cold = []column{
		value("ms", Metrics["batch"], number),
		ratio("×", Metrics["batch"]),
		value("CPU µs", Metrics["cpu"], number),
		ratio("CPU ×", Metrics["cpu"]),
		value("conns", Metrics["conns"], digits(0)),
	}

	memory = []column{
		value("octets each", Metrics["held"], digits(0)),
		ratio("×", Metrics["held"]),
		{"MB for 10,000", func(r Row, name string) string {
			return fixed(r.median(name, Metrics["held"])*workload.MemoryCallers/1e6, 0)
		}},
		value("goroutines each", func(r result.Result) float64 { return r.Goroutines }, digits(2)),
		value("conns", Metrics["conns"], digits(0)),
	}
)

// columnsOf lists the columns that a kind of workload has.
func columnsOf(kind workload.Kind) []column {
	switch kind {
	case workload.Memory:
		return memory
	case workload.Cold:
		return cold
	case workload.Upload:
		return append([]column{octets}, costs...)
	case workload.Mixed:
		return append([]column{throughput, value("over 50 ms", Metrics["late"], percent), value("sent again", Metrics["again"], percent)}, costs...)
	}
	return append([]column{throughput}, costs...)
}

// Markdown is the row's section: a heading and a table.
func (r Row) Markdown() string {
	columns := columnsOf(r.Workload.Kind)
	t := table{columns: []string{"contestant"}}
	for _, c := range columns {
		t.columns = append(t.columns, c.head)
	}
	for _, name := range r.Workload.Contestants {
		if !r.has(name) {
			t.add(append([]string{name}, failedCells(len(columns))...)...)
			continue
		}
		cells := []string{name}
		for _, c := range columns {
			cells = append(cells, c.cell(r, name))
		}
		t.add(cells...)
	}
	return fmt.Sprintf("### %s: %s\n\n%s\n", r.Workload.ID, r.Workload.Title, &t)
}

// failedCells are those of a contestant without any result.
func failedCells(n int) []string {
	cells := make([]string, n)
	for i := range cells {
		cells[i] = none
	}
	cells[0] = "failed"
	return cells
}
