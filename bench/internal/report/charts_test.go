package report

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// elements parses a picture and counts its elements by name, and those of class
// s1, which is httppipe's.
func elements(t *testing.T, svg string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		n[e.Name.Local]++
		for _, a := range e.Attr {
			if a.Name.Local == "class" && strings.Contains(a.Value, "s1") {
				n[e.Name.Local+" s1"]++
			}
			if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
				t.Errorf("%s=%q", a.Name.Local, a.Value)
			}
		}
	}
}

func measured(w workload.Workload, cpu map[string]float64) Row {
	r := Row{Workload: w}
	for name, v := range cpu {
		r.Results = append(r.Results, result.Result{Name: name, CPU: v, PerSecond: 1000 / v})
	}
	return r
}

func TestCostChart(t *testing.T) {
	rows := []Row{
		measured(workload.Workload{Title: "A & B", Base: "nethttp"}, map[string]float64{"nethttp": 10, "httppipe": 2, "limit-rt": 1.5, "limit-rt-lf": 1.3, "rawpump": 0.1}),
		measured(workload.Workload{Title: "C", Base: "nethttp"}, map[string]float64{"nethttp": 10, "httppipe": 50}),
		measured(workload.Workload{Title: "not drawn", Base: "nethttp-N"}, map[string]float64{"nethttp-N": 10, "httppipe": 2}),
		measured(workload.Workload{Title: "not measured", Base: "nethttp"}, nil),
	}
	svg := CostChart(rows)
	n := elements(t, svg)
	if n["rect s1"] != 3 { // one of them in the legend
		t.Errorf("%d bars of httppipe", n["rect s1"])
	}
	for _, want := range []string{">0.20<", ">0.13<", ">5.00<", ">A &amp; B<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	for _, unwanted := range []string{"not drawn", "not measured", ">0.15<", ">0.01<"} {
		if strings.Contains(svg, unwanted) {
			t.Errorf("%q is drawn", unwanted)
		}
	}
	if CostChart(rows[2:]) != "" {
		t.Error("a picture of nothing")
	}
}

func TestShortTitles(t *testing.T) {
	for _, w := range workload.All() {
		if s := shortTitle(w); w.Base == "nethttp" && w.Kind != workload.Memory && len(s) > 45 {
			t.Errorf("%q does not fit into the margin", s)
		}
	}
}

func TestLatencyChart(t *testing.T) {
	at := func(rtt time.Duration, cpu map[string]float64) Row {
		return measured(workload.Workload{ID: "rtt/x/n2", RTT: rtt}, cpu)
	}
	rows := []Row{
		at(50*time.Millisecond, map[string]float64{"nethttp-N": 10, "httppipe": 1}),
		at(10*time.Millisecond, map[string]float64{"nethttp-N": 2, "httppipe": 0.2}),
	}
	svg := LatencyChart(rows)
	n := elements(t, svg)
	if n["polyline"] != 2 || n["circle"] != 4 || n["polyline s1"] != 1 {
		t.Errorf("%v in\n%s", n, svg)
	}
	for _, want := range []string{">10 ms<", ">50 ms<", ">1000<", ">100<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	if LatencyChart(rows[:1]) != "" {
		t.Error("a curve through one point")
	}
}

func TestAxis(t *testing.T) {
	a := axis{low: 1, high: 100, from: 0, to: 200}
	for v, want := range map[float64]float64{1: 0, 10: 100, 100: 200} {
		if got := a.at(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("at(%v) = %v, want %v", v, got, want)
		}
	}
	if got := a.decades(); len(got) != 3 {
		t.Errorf("decades: %v", got)
	}
	flat := []latencyCurve{{"httppipe", []point{{10, 1000}, {20, 1000}}}}
	if _, y := latencyAxes(flat, a, a); y.high <= y.low {
		t.Errorf("an axis without length: %+v", y)
	}
}
