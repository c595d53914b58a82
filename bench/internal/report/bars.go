package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Goals are what httppipe aims at, as bars: the ratios to net/http in CPU and
// throughput, and the figures that do not depend on the machine.
const Goals = `
	get/c64 cpu nethttp <= 0.20;
	get/c64 rps nethttp >= 6;
	get/c64 allocs <= 8;
	get/c64 calls <= 0.25;
	get/c64/client cpu nethttp <= 0.26;
	get/c64/tls cpu nethttp <= 0.25;
	get/c1 cpu nethttp <= 0.36;
	get/c16 cpu nethttp <= 0.22;
	get/c256 cpu nethttp <= 0.13;
	rtt/10ms/n1 rps nethttp-N >= 60.8;
	rtt/10ms/n2 rps nethttp-N >= 30.4;
	rtt/10ms/n8 rps nethttp-N >= 7.6;
	rtt/50ms/n1 rps nethttp-N >= 60.8;
	rtt/50ms/n2 rps nethttp-N >= 30.4;
	rtt/50ms/n8 rps nethttp-N >= 7.6;
	get/4k cpu nethttp <= 0.36;
	get/64k cpu nethttp <= 0.70;
	nginx/4k cpu nethttp <= 0.36;
	nginx/64k cpu nethttp <= 0.70;
	put/memory cpu nethttp <= 0.45;
	put/file cpu nethttp <= 1.05;
	slow/paced late <= 0.001;
	slow/saturated late <= 0.01;
	slow/saturated rps nethttp-N >= 1;
	mem/idle held nethttp <= 1;
`

// A Bar is a bound that a measurement should keep.
type Bar struct {
	Workload string
	Metric   string
	Against  string // the contestant that the ratio is to; empty: the value itself
	Op       string // "<=" or ">="
	Limit    float64
}

// ParseBars parses bars that are separated by semicolons, each of them
// "WORKLOAD METRIC [CONTESTANT] OP NUMBER".
func ParseBars(text string) ([]Bar, error) {
	var bars []Bar
	for part := range strings.SplitSeq(text, ";") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			continue
		}
		b, err := parseBar(fields)
		if err != nil {
			return nil, fmt.Errorf("bar %q: %w", strings.Join(fields, " "), err)
		}
		bars = append(bars, b)
	}
	return bars, nil
}

func parseBar(f []string) (Bar, error) {
	if len(f) == 4 {
		f = slices.Insert(slices.Clone(f), 2, "")
	}
	if len(f) != 5 {
		return Bar{}, fmt.Errorf("want WORKLOAD METRIC [CONTESTANT] OP NUMBER")
	}
	if Metrics[f[1]] == nil {
		return Bar{}, fmt.Errorf("no metric %q", f[1])
	}
	if f[3] != "<=" && f[3] != ">=" {
		return Bar{}, fmt.Errorf("%q is neither <= nor >=", f[3])
	}
	limit, err := strconv.ParseFloat(f[4], 64)
	return Bar{Workload: f[0], Metric: f[1], Against: f[2], Op: f[3], Limit: limit}, err
}

// String is what ParseBars parses.
func (b Bar) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %v", b.Workload, b.Metric, b.Against, b.Op, b.Limit)), " ")
}

// A Verdict is a bar with the value that was measured, NaN if it was not.
type Verdict struct {
	Bar   Bar
	Value float64
}

// Holds is false for what was not measured.
func (v Verdict) Holds() bool {
	if v.Bar.Op == "<=" {
		return v.Value <= v.Bar.Limit
	}
	return v.Value >= v.Bar.Limit
}

// Judge compares the subject's results with the bars.
func Judge(bars []Bar, rows []Row, subject string) []Verdict {
	var verdicts []Verdict
	for _, b := range bars {
		v := Verdict{Bar: b, Value: math.NaN()}
		for _, r := range rows {
			if r.Workload.ID != b.Workload {
				continue
			}
			m := Metrics[b.Metric]
			if b.Against == "" {
				v.Value = r.median(subject, m)
			} else {
				v.Value = median(r.ratios(subject, b.Against, m))
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// Measured drops the verdicts on what was not measured.
func Measured(verdicts []Verdict) []Verdict {
	return slices.DeleteFunc(slices.Clone(verdicts), func(v Verdict) bool { return math.IsNaN(v.Value) })
}

// VerdictTable shows verdicts under a heading. It is empty if there are none.
func VerdictTable(heading string, verdicts []Verdict) string {
	if len(verdicts) == 0 {
		return ""
	}
	t := table{columns: []string{"workload", "measure", "against", "bound", "measured", ""}}
	for _, v := range verdicts {
		word := "missed"
		if v.Holds() {
			word = "held"
		}
		t.add(v.Bar.Workload, v.Bar.Metric, v.Bar.Against, fmt.Sprintf("%s %v", v.Bar.Op, v.Bar.Limit), precise(v.Value), word)
	}
	return fmt.Sprintf("## %s\n\n%s\n", heading, &t)
}

// precise keeps small shares visible.
func precise(x float64) string {
	if x > 0 && x < 0.1 {
		return fixed(x, 4)
	}
	return number(x)
}
