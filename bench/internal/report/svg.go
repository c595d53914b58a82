package report

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// A drawing is an SVG under construction. Coordinates are in pixels, y grows
// downwards. Colours are classes of the style sheet below, so that the picture
// follows the reader's light or dark mode; it brings its own background for
// viewers that know only one of them.
type drawing struct {
	width, height float64
	title         string // for those who cannot see it
	b             strings.Builder
}

// series are the classes of contestants, in both pictures alike. A contestant
// that is not listed cannot be drawn.
var series = map[string]struct{ class, label string }{
	"httppipe":         {"s1", "httppipe"},
	"fasthttp-pipe":    {"s2", "fasthttp PipelineClient, own API"},
	"fasthttp-pipe-rt": {"s3", "the same as http.RoundTripper"},
	"nethttp-N":        {"s4", "net/http, same number of connections"},
	"nethttp":          {"s4", "net/http, 64 connections"},
	"limit-rt":         {"s5", "floor (no client: the least a RoundTripper can do)"},
	"limit-rt-lf":      {"s5", "floor (no client: the least a RoundTripper can do)"},
}

const style = `
svg { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
text { fill: #1f2328; }
.muted { fill: #59636e; }
.heading { font-size: 16px; font-weight: 600; }
.strong { font-weight: 600; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.value { stroke: #ffffff; stroke-width: 4; paint-order: stroke; }
.grid { stroke: #d1d9e0; fill: none; }
.mark { stroke: #1f2328; fill: none; }
.s1 { fill: #0969da; stroke: #0969da; }
.s2 { fill: #bc4c00; stroke: #bc4c00; }
.s3 { fill: #e8a36d; stroke: #e8a36d; }
.s4 { fill: #6e7781; stroke: #6e7781; }
.s5 { fill: #ffffff; stroke: #1a7f37; }
.line { fill: none; stroke-width: 2.5; }
.dashed { stroke-dasharray: 7 5; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.muted { fill: #9198a1; }
.page { fill: #0d1117; stroke: #3d444d; }
.value { stroke: #0d1117; }
.grid { stroke: #3d444d; }
.mark { stroke: #f0f6fc; }
.s1 { fill: #4493f8; stroke: #4493f8; }
.s2 { fill: #db6d28; stroke: #db6d28; }
.s3 { fill: #8f5126; stroke: #8f5126; }
.s4 { fill: #9198a1; stroke: #9198a1; }
.s5 { fill: #0d1117; stroke: #3fb950; }
.line { fill: none; }
}
`

// String is the whole file.
func (d *drawing) String() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img">
<title>%s</title>
<style>%s</style>
<rect class="page" x="0.5" y="0.5" width="%g" height="%g" rx="6"/>
%s</svg>
`, d.width, d.height, d.width, d.height, escape(d.title), style, d.width-1, d.height-1, d.b.String())
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

// coordinate is short, and the same on every run.
func coordinate(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", x), "0"), ".")
}

// Anchors of text.
const (
	left   = "start"
	middle = "middle"
	right  = "end"
)

func (d *drawing) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&d.b, "<text x=\"%s\" y=\"%s\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", coordinate(x), coordinate(y), anchor, class, escape(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.b, "<line x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\" class=\"%s\"/>\n",
		coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2), class)
}

func (d *drawing) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&d.b, "<rect x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"2\" class=\"%s\"/>\n",
		coordinate(x), coordinate(y), coordinate(w), coordinate(h), class)
}

func (d *drawing) dot(x, y float64, class string) {
	fmt.Fprintf(&d.b, "<circle cx=\"%s\" cy=\"%s\" r=\"4\" stroke-width=\"2\" class=\"%s\"/>\n", coordinate(x), coordinate(y), class)
}

// A point of a curve.
type point struct{ x, y float64 }

func (d *drawing) curve(points []point, class string) {
	d.b.WriteString("<polyline points=\"")
	for i, p := range points {
		if i > 0 {
			d.b.WriteByte(' ')
		}
		d.b.WriteString(coordinate(p.x) + "," + coordinate(p.y))
	}
	fmt.Fprintf(&d.b, "\" class=\"line %s\"/>\n", class)
}
