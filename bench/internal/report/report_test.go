package report

import (
	"math"
	"strings"
	"testing"

	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// sampleRow has three rounds of two contestants; in the third round the machine
// was half as fast, and "other" has failed in the second.
func sampleRow() Row {
	cpu := func(name string, round int, v float64) result.Result {
		return result.Result{Name: name, Round: round, CPU: v, PerSecond: 1000 / v, Reads: 1, Writes: 2, Allocs: 5, Late: 0.004}
	}
	return Row{
		Workload: workload.Workload{ID: "get/c64", Title: "title", Base: "base", Contestants: []string{"base", "other", "gone"}},
		Results: []result.Result{
			cpu("base", 0, 10), cpu("other", 0, 2),
			cpu("base", 1, 10),
			cpu("other", 2, 6), cpu("base", 2, 20),
		},
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(test.in); got != test.want {
			t.Errorf("median(%v) = %v", test.in, got)
		}
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a median")
	}
	if got := quantile([]float64{5, 1, 2, 3, 4}, 0.9); got != 5 {
		t.Errorf("quantile: %v", got)
	}
}

// TestRatiosStayInTheirRound: the ratio of the medians would be 4/10.
func TestRatiosStayInTheirRound(t *testing.T) {
	r := sampleRow()
	if got := spread(r.ratios("other", "base", Metrics["cpu"])); got != "0.25 (0.20–0.30)" {
		t.Errorf("ratios: %s", got)
	}
	if got := r.ratios("other", "base", Metrics["errors"]); got != nil {
		t.Errorf("ratios to zero: %v", got)
	}
	if got := spread(r.ratios("gone", "base", Metrics["cpu"])); got != none {
		t.Errorf("ratios of nobody: %s", got)
	}
}

func TestRowMarkdown(t *testing.T) {
	const want = `### get/c64: title

| contestant | req/s | × | CPU µs | CPU × | user + system | allocs | B | conns | p50 µs | p99 µs | reads | writes | switches | errors | stall ms |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| base | 100 | 1.00 (1.00–1.00) | 10.0 | 1.00 (1.00–1.00) | 0.00 + 0.00 | 5.0 | 0 | 0 | 0.00 | 0.00 | 1.00 | 2.00 | 0.00 | 0 | 0.00 |
| other | 333 | 4.17 (3.33–5.00) | 4.00 | 0.25 (0.20–0.30) | 0.00 + 0.00 | 5.0 | 0 | 0 | 0.00 | 0.00 | 1.00 | 2.00 | 0.00 | 0 | 0.00 |
| gone | failed | – | – | – | – | – | – | – | – | – | – | – | – | – | – |

`
	if got := sampleRow().Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKindsOfTable(t *testing.T) {
	r := sampleRow()
	for kind, want := range map[workload.Kind]string{
		workload.Upload: "GB/s",
		workload.Mixed:  "| other | 333 | 0.40 % | – |",
		workload.Cold:   "| contestant | ms |",
		workload.Memory: "octets each",
	} {
		r.Workload.Kind = kind
		md := r.Markdown()
		if !strings.Contains(md, want) {
			t.Errorf("no %q in\n%s", want, md)
		}
		lines := strings.Split(strings.TrimSpace(md), "\n")[2:]
		for _, line := range lines {
			if strings.Count(line, "|") != strings.Count(lines[0], "|") {
				t.Errorf("uneven table:\n%s", md)
			}
		}
	}
}

func TestTableEscapes(t *testing.T) {
	tb := table{columns: []string{"a", "b"}}
	tb.add("x|y", "1")
	if want := "| a | b |\n|---|--:|\n| x\\|y | 1 |\n"; tb.String() != want {
		t.Errorf("%q", tb.String())
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{0: "0.00", 0.126: "0.13", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 123456: "123456"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %s, want %s", x, got, want)
		}
	}
	if number(math.NaN()) != none || percent(math.NaN()) != none || fixed(math.NaN(), 1) != none {
		t.Error("NaN is shown")
	}
}

func TestOverview(t *testing.T) {
	r := sampleRow()
	r.Workload.Base = "nethttp"
	for i := range r.Results {
		r.Results[i].Name = map[string]string{"base": "nethttp", "other": "httppipe"}[r.Results[i].Name]
	}
	memory := Row{Workload: workload.Workload{ID: "mem", Kind: workload.Memory}}
	got := Overview([]Row{r, memory})
	const cpu = "| workload | nethttp | httppipe |\n|---|--:|--:|\n| get/c64 | 1 | 0.25 |\n\n"
	const rps = "| workload | nethttp | httppipe |\n|---|--:|--:|\n| get/c64 | 1 | 4.17 |\n\n"
	if i, j := strings.Index(got, cpu), strings.Index(got, rps); i < 0 || j < i {
		t.Errorf("got\n%s", got)
	}
	if got := Overview([]Row{memory}); got != "" {
		t.Errorf("an overview of nothing: %s", got)
	}
}

func TestParseBars(t *testing.T) {
	bars, err := ParseBars("a cpu b <= 0.5;\n c  allocs >= 8 ;; ")
	if err != nil || len(bars) != 2 {
		t.Fatalf("%v %v", bars, err)
	}
	if want := (Bar{"a", "cpu", "b", "<=", 0.5}); bars[0] != want {
		t.Errorf("%+v", bars[0])
	}
	if want := (Bar{"c", "allocs", "", ">=", 8}); bars[1] != want {
		t.Errorf("%+v", bars[1])
	}
	if s := bars[0].String() + ";" + bars[1].String(); s != "a cpu b <= 0.5;c allocs >= 8" {
		t.Errorf("String: %s", s)
	}
	for _, bad := range []string{"a", "a cpu b < 1", "a speed b <= 1", "a cpu b <= x", "a cpu b c <= 1"} {
		if _, err := ParseBars(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestGoals: a goal that names no row would never be missed.
func TestGoals(t *testing.T) {
	bars, err := ParseBars(Goals)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]workload.Workload{}
	for _, w := range workload.All() {
		rows[w.ID] = w
	}
	for _, b := range bars {
		w, ok := rows[b.Workload]
		if !ok {
			t.Errorf("%v: no such row", b)
		}
		if b.Against != "" && !strings.Contains(strings.Join(w.Contestants, " ")+" ", b.Against+" ") {
			t.Errorf("%v: the row has only %q", b, w.Contestants)
		}
	}
}

func TestJudge(t *testing.T) {
	bars, err := ParseBars("get/c64 cpu base <= 0.25; get/c64 cpu base <= 0.24; get/c64 calls >= 3; get/c64 calls >= 4; get/c1 cpu base <= 9")
	if err != nil {
		t.Fatal(err)
	}
	verdicts := Judge(bars, []Row{sampleRow()}, "other")
	for i, want := range []bool{true, false, true, false, false} {
		if verdicts[i].Holds() != want {
			t.Errorf("%v: measured %v, holds: %v", verdicts[i].Bar, verdicts[i].Value, !want)
		}
	}
	if n := len(Measured(verdicts)); n != 4 {
		t.Errorf("%d were measured", n)
	}
	table := VerdictTable("Goals", verdicts)
	if !strings.Contains(table, "| get/c64 | cpu | base | <= 0.24 | 0.25 | missed |") ||
		!strings.Contains(table, "| get/c1 | cpu | base | <= 9 | – | missed |") {
		t.Errorf("table:\n%s", table)
	}
	if VerdictTable("Goals", nil) != "" {
		t.Error("an empty table is shown")
	}
}

func TestForeign(t *testing.T) {
	r := sampleRow()
	for i := range r.Results {
		r.Results[i].Foreign = float64(i)
	}
	if got := Foreign([]Row{r}); !strings.Contains(got, "2.00 cores in the median, 4.00 in") {
		t.Errorf("%s", got)
	}
}

// TestDigest: each kind of row is in the table that it belongs to, and in no other.
func TestDigest(t *testing.T) {
	var rows []Row
	for _, w := range workload.All() {
		r := Row{Workload: w}
		for _, name := range w.Contestants {
			r.Results = append(r.Results, result.Result{Name: name, CPU: 10, PerSecond: 5, Batch: 7, Conns: 6, Held: 3})
		}
		rows = append(rows, r)
	}
	got := Digest(rows)
	lines := map[string]bool{}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| ") {
			if lines[line] {
				t.Errorf("twice: %s", line)
			}
			lines[line] = true
		}
	}
	const tables = 5
	if len(lines) != len(rows)+tables {
		t.Errorf("%d lines for %d rows in\n%s", len(lines)-tables, len(rows), got)
	}
	for _, want := range []string{
		"| 50 ms | 2 | 5.00 | 5.00 | 1.00 (1.00–1.00) | 32.0 |",
		"| 64 | 50 ms | 8 | 7.00 | 7.00 | 7.00 | 6 |",
		"| 32 | 50 ms | – | – | 7.00 | 7.00 | 6 |",
		"| 2000 requests/s by a schedule | 0.00 % | 0.00 % | 0.00 % | – | 1.00 |",
		"| per idle connection | 3 | 3 | 1.00 (1.00–1.00) |",
	} {
		if !lines[want+"\n"] {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if Digest(nil) != "" {
		t.Error("tables of nothing")
	}
}
