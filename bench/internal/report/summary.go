package report

import (
	"fmt"
	"slices"

	"github.com/httppipe/httppipe/bench/internal/workload"
)

// columnOrder is that of the contestants in overviews. Those that no row has
// get no column.
var columnOrder = []string{"nethttp", "nethttp-N", "fasthttp", "fasthttp-pipe", "fasthttp-pipe-rt", "httppipe", "limit-rt", "limit-rt-lf", "rawpump"}

// Overview is two tables with a line for each row: the ratios in CPU and in
// requests/s. It leaves memory out.
func Overview(rows []Row) string {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Workload.Kind == workload.Memory })
	if len(rows) == 0 {
		return ""
	}
	return fmt.Sprintf("## Client CPU per request, net/http = 1\n\n"+
		"Medians of same-round ratios; less is better. Where connections are limited, the 1 is net/http with as many.\n\n%s\n"+
		"## Requests/s, net/http = 1\n\nMore is better.\n\n%s\n",
		ratioTable(rows, Metrics["cpu"]), ratioTable(rows, Metrics["rps"]))
}

func ratioTable(rows []Row, m Metric) string {
	names := slices.DeleteFunc(slices.Clone(columnOrder), func(name string) bool {
		return !slices.ContainsFunc(rows, func(r Row) bool { return r.has(name) })
	})
	t := table{columns: append([]string{"workload"}, names...)}
	for _, r := range rows {
		cells := []string{r.Workload.ID}
		for _, name := range names {
			cell := ""
			if r.has(name) {
				cell = number(median(r.ratios(name, r.Workload.Base, m)))
			}
			if name == r.Workload.Base {
				cell = "1"
			}
			cells = append(cells, cell)
		}
		t.add(cells...)
	}
	return t.String()
}

// Foreign says how busy the machine was with other things.
func Foreign(rows []Row) string {
	var cores, stalls []float64
	for _, r := range rows {
		for _, res := range r.Results {
			cores, stalls = append(cores, res.Foreign), append(stalls, res.Stall)
		}
	}
	text := fmt.Sprintf("Other processes meanwhile took %s cores in the median, %s in the worst tenth of the measurements; "+
		"a process that only slept was woken up to %s ms late in the median, %s ms in the worst tenth.",
		number(median(cores)), number(quantile(cores, 0.9)), number(median(stalls)), number(quantile(stalls, 0.9)))
	if median(cores) > quietCores {
		text += " **That is too much for the numbers to say much about the clients; on a quiet machine they differ.**"
	}
	return text
}

// quietCores is how many cores others may take until results are called doubtful.
const quietCores = 0.25
