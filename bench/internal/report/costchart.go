package report

import (
	"math"
	"strings"

	"github.com/httppipe/httppipe/bench/internal/workload"
)

// barred are the contestants with a bar in the picture of costs, in order. The
// floor follows them.
var barred = []string{"httppipe", "fasthttp-pipe", "fasthttp-pipe-rt"}

// floorsOf are the devices of which the lowest is a workload's floor. Where much
// content is copied they are none: they copy it twice, which clients need not.
func floorsOf(w workload.Workload) []string {
	if w.Kind == workload.Upload || w.Options.Want >= 64<<10 {
		return nil
	}
	return []string{"limit-rt", "limit-rt-lf"}
}

// costTop is the right end of the scale. Longer bars are cut off there, and
// their number tells.
const costTop = 1.2

// A costGroup is one workload in the picture.
type costGroup struct {
	title string
	bars  []costBar
}

type costBar struct {
	name  string
	ratio float64 // of CPU per request, to net/http
}

// CostChart draws the CPU that each request costs the client as a part of what
// it costs net/http, for the rows where that is the question. It is empty if
// there are none.
func CostChart(rows []Row) string {
	var groups []costGroup
	for _, r := range rows {
		if g := costGroupOf(r); len(g.bars) > 0 {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return ""
	}
	return drawCosts(groups)
}

func costGroupOf(r Row) costGroup {
	g := costGroup{title: shortTitle(r.Workload)}
	if r.Workload.Base != "nethttp" || r.Workload.Kind == workload.Memory || r.Workload.Server == workload.Nginx {
		return g // not about CPU, or the same once more
	}
	for _, name := range barred {
		if x := median(r.ratios(name, "nethttp", Metrics["cpu"])); !math.IsNaN(x) {
			g.bars = append(g.bars, costBar{name, x})
		}
	}
	if lowest := floorOf(r); lowest.name != "" {
		g.bars = append(g.bars, lowest)
	}
	return g
}

// floorOf is the lowest of a row's floors; without a name if there is none.
func floorOf(r Row) costBar {
	lowest := costBar{ratio: math.NaN()}
	for _, name := range floorsOf(r.Workload) {
		if x := r.ratio(name, Metrics["cpu"]); lowest.name == "" && !math.IsNaN(x) || x < lowest.ratio {
			lowest = costBar{name, x}
		}
	}
	return lowest
}

// shortTitle fits into the margin.
func shortTitle(w workload.Workload) string {
	title, _, _ := strings.Cut(w.Title, " with ")
	title, _, _ = strings.Cut(title, " (")
	title, _, _ = strings.Cut(title, " that ")
	title = strings.Replace(title, "through ", "", 1)
	title = strings.Replace(title, "static file from ", "", 1)
	if w.ID == "get/c64/client" {
		title += " + context"
	}
	if w.ID == "get/c64/timeout" {
		title += " + Timeout"
	}
	return title
}

func drawCosts(groups []costGroup) string {
	const (
		width, margin, top     = 860.0, 330.0, 128.0
		thick, gap, betweenGap = 12.0, 3.0, 16.0
	)
	height := top + 40
	for _, g := range groups {
		height += float64(len(g.bars))*(thick+gap) + betweenGap
	}
	d := &drawing{width: width, height: height, title: "CPU per request, net/http = 1"}
	d.text(24, 34, left, "heading", "Client CPU per request, net/http = 1 (less is better)")
	drawLegend(d, 24, 58, append(barred, "limit-rt"), 22)
	x := func(ratio float64) float64 { return margin + (width-margin-60)*min(ratio, costTop)/costTop }
	for _, tick := range []float64{0, 0.25, 0.5, 0.75, 1} {
		class := "grid"
		if tick == 1 {
			class = "mark dashed"
		}
		d.line(x(tick), top-4, x(tick), height-36, class)
		d.text(x(tick), height-18, middle, "muted", number(tick))
	}
	y := top + 6
	for _, g := range groups {
		tall := float64(len(g.bars)) * (thick + gap)
		d.text(margin-12, y+tall/2+3, right, "", g.title)
		for _, b := range g.bars {
			d.rect(x(0), y, x(b.ratio)-x(0), thick, series[b.name].class)
			class := "value muted"
			if b.name == barred[0] {
				class = "value strong"
			}
			d.text(x(b.ratio)+6, y+thick-2, left, class, number(b.ratio))
			y += thick + gap
		}
		y += betweenGap
	}
	return d.String()
}

// drawLegend explains the colours, two to a line.
func drawLegend(d *drawing, x, y float64, names []string, lineHeight float64) {
	for i, name := range names {
		cx, cy := x+float64(i%2)*330, y+float64(i/2)*lineHeight
		d.rect(cx, cy-1, 14, 12, series[name].class)
		d.text(cx+22, cy+10, left, "", series[name].label)
	}
}
