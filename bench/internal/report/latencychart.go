package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// latencyConns is the number of connections in the picture: rows "rtt/*/n2".
const latencyConns = 2

// plotted are the contestants in the picture of round trips, in order. net/http
// comes twice: with as many connections as the others, and with as many as it
// likes.
var plotted = []string{"nethttp-N", "nethttp", "httppipe"}

// A latencyCurve is one contestant's requests per second by round-trip time.
type latencyCurve struct {
	name   string
	points []point // x in milliseconds
}

// LatencyChart draws requests/s against the round-trip time, both on
// logarithmic scales. It is empty with fewer than two round-trip times.
func LatencyChart(rows []Row) string {
	var curves []latencyCurve
	for _, name := range plotted {
		c := latencyCurve{name: name}
		for _, r := range rows {
			w := r.Workload
			if w.RTT == 0 || !strings.HasSuffix(w.ID, fmt.Sprintf("/n%d", latencyConns)) {
				continue
			}
			if y := r.median(name, Metrics["rps"]); y > 0 {
				c.points = append(c.points, point{float64(w.RTT) / float64(time.Millisecond), y})
			}
		}
		slices.SortFunc(c.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
		if len(c.points) > 1 {
			curves = append(curves, c)
		}
	}
	if len(curves) == 0 {
		return ""
	}
	return drawLatency(curves)
}

// An axis maps values to pixels, logarithmically.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*(math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))
}

// decades are the powers of ten on the axis.
func (a axis) decades() []float64 {
	var v []float64
	for x := math.Pow(10, math.Ceil(math.Log10(a.low)-1e-9)); x <= a.high*(1+1e-9); x *= 10 {
		v = append(v, x)
	}
	return v
}

func drawLatency(curves []latencyCurve) string {
	const width, height = 860.0, 460.0
	x, y := latencyAxes(curves, axis{from: 90, to: width - 150}, axis{from: height - 70, to: 84})
	d := &drawing{width: width, height: height, title: "requests per second against round-trip time"}
	d.text(24, 34, left, "heading", fmt.Sprintf("Requests/s against round-trip time: 64 callers, GET 128 B, %d connections", latencyConns))
	d.text(24, 62, left, "muted", "requests/s")
	for _, v := range y.decades() {
		d.line(x.from-10, y.at(v), x.to+10, y.at(v), "grid")
		d.text(x.from-18, y.at(v)+4, right, "muted", fmt.Sprintf("%g", v))
	}
	for _, v := range roundTrips(curves) {
		d.line(x.at(v), y.from, x.at(v), y.from+6, "grid")
		d.text(x.at(v), y.from+24, middle, "muted", fmt.Sprintf("%g ms", v))
	}
	d.text((x.from+x.to)/2, y.from+48, middle, "muted", "round-trip time")
	for _, c := range curves {
		drawCurve(d, c, x, y)
	}
	drawCurveLabels(d, curves, x, y)
	return d.String()
}

// latencyAxes fits the axes, of which the pixels are given, around the curves.
func latencyAxes(curves []latencyCurve, x, y axis) (axis, axis) {
	x.low, y.low = math.Inf(1), math.Inf(1)
	for _, c := range curves {
		for _, p := range c.points {
			x.low, x.high = min(x.low, p.x), max(x.high, p.x)
			y.low, y.high = min(y.low, p.y), max(y.high, p.y)
		}
	}
	y.low = math.Pow(10, math.Floor(math.Log10(y.low)))
	y.high = math.Pow(10, math.Ceil(math.Log10(y.high)))
	if y.high == y.low {
		y.high *= 10
	}
	return x, y
}

// roundTrips are the x of all points.
func roundTrips(curves []latencyCurve) []float64 {
	var v []float64
	for _, c := range curves {
		for _, p := range c.points {
			v = append(v, p.x)
		}
	}
	slices.Sort(v)
	return slices.Compact(v)
}

func drawCurve(d *drawing, c latencyCurve, x, y axis) {
	class := series[c.name].class
	var pixels []point
	for _, p := range c.points {
		pixels = append(pixels, point{x.at(p.x), y.at(p.y)})
	}
	if c.name == "nethttp" {
		d.curve(pixels, class+" dashed")
	} else {
		d.curve(pixels, class)
	}
	for _, p := range pixels {
		d.dot(p.x, p.y, class)
	}
}

// drawCurveLabels names the curves at their right ends, pushed apart where they
// would overlap.
func drawCurveLabels(d *drawing, curves []latencyCurve, x, y axis) {
	const lineHeight = 34.0
	curves = slices.Clone(curves)
	slices.Reverse(curves) // httppipe above what it equals
	end := func(c latencyCurve) float64 { return y.at(c.points[len(c.points)-1].y) }
	slices.SortStableFunc(curves, func(a, b latencyCurve) int { return cmp.Compare(int(end(a)/8), int(end(b)/8)) })
	next := math.Inf(-1)
	for _, c := range curves {
		at := max(end(c), next)
		next = at + lineHeight
		name, detail := "net/http", fmt.Sprintf("%d connections", latencyConns)
		class := ""
		switch c.name {
		case "httppipe":
			name, class = "httppipe", "strong"
		case "nethttp":
			detail = "64 connections"
		}
		d.text(x.to+16, at+1, left, class, name)
		d.text(x.to+16, at+16, left, "muted", detail)
	}
}
