package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// none stands for a number that was not measured.
const none = "–"

// number has three significant digits, or two after the point.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return none
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// fixed is x with some digits after the point.
func fixed(x float64, digits int) string {
	if math.IsNaN(x) {
		return none
	}
	return fmt.Sprintf("%.*f", digits, x)
}

// percent of a share.
func percent(x float64) string {
	if math.IsNaN(x) {
		return none
	}
	return fixed(100*x, 2) + " %"
}

// spread is the median with the range.
func spread(v []float64) string {
	if len(v) == 0 {
		return none
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(v)), number(slices.Min(v)), number(slices.Max(v)))
}

// A table is written as Markdown. The first column is text, the others numbers.
type table struct {
	columns []string
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.columns)
	b.WriteString("|---" + strings.Repeat("|--:", len(t.columns)-1) + "|\n")
	for _, cells := range t.rows {
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		line(cells)
	}
	return b.String()
}
