package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/httppipe/httppipe/bench/internal/report"
	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// write writes what was asked for besides the output. rest is what follows the
// rows' tables.
func (r *run) write(s settings, rest string) error {
	if s.markdown != "" {
		if err := os.WriteFile(s.markdown, []byte(r.markdown(rest)), 0o644); err != nil {
			return err
		}
	}
	if s.json != "" {
		if err := r.writeJSON(s.json); err != nil {
			return err
		}
	}
	if s.svg != "" {
		if err := writeCharts(s.svg, r.rows); err != nil {
			return err
		}
	}
	if s.write != "" {
		return r.writeDocs(s.write, rest)
	}
	return nil
}

func writeCharts(dir string, rows []report.Row) error {
	for name, svg := range map[string]string{"cost.svg": report.CostChart(rows), "latency.svg": report.LatencyChart(rows)} {
		if svg == "" {
			continue // not measured: keep an older picture
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// command is how to get the same again. Where the results went does not matter.
func command(args []string) string {
	words := []string{"go run ./cmd/compare"}
	for i := 0; i < len(args); i++ {
		if name := strings.TrimLeft(args[i], "-"); name == "o" || name == "json" || name == "svg" {
			i++
			continue
		}
		words = append(words, quoted(args[i]))
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell wants it.
func quoted(s string) string {
	if !strings.ContainsAny(s, " |$*<>;()'\"") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// A run is what was measured, when, and on what. Its JSON is what -json writes and
// -from reads.
type run struct {
	Command string    `json:"command"`
	Begin   time.Time `json:"begin"`
	Took    string    `json:"took"`
	Machine string    `json:"machine"`
	Rows    []jsonRow `json:"rows"`

	rows []report.Row
}

type jsonRow struct {
	Workload string          `json:"workload"`
	Title    string          `json:"title"`
	Base     string          `json:"base"`
	Results  []result.Result `json:"results"`
}

// newRun describes what has just been measured.
func newRun(rows []report.Row, begin time.Time) *run {
	r := &run{
		Command: command(os.Args[1:]), Begin: begin.UTC(), Took: time.Since(begin).Round(time.Second).String(),
		Machine: fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		rows:    rows,
	}
	for _, row := range rows {
		r.Rows = append(r.Rows, jsonRow{row.Workload.ID, row.Workload.Title, row.Workload.Base, row.Results})
	}
	return r
}

// readRun reads what -json has written. Rows that there are no more are left out,
// as are those that ws does not contain.
func readRun(name string, ws []workload.Workload) (*run, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(run)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, w := range ws {
		for _, row := range r.Rows {
			if row.Workload == w.ID {
				r.rows = append(r.rows, report.Row{Workload: w, Results: row.Results})
			}
		}
	}
	return r, nil
}

func (r *run) writeJSON(name string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

func (r *run) markdown(rest string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Comparison of %s\n\n", r.Begin.Format(time.DateOnly))
	fmt.Fprintf(&b, "    cd bench && %s\n\n", r.Command)
	fmt.Fprintf(&b, "%s, %s. %s\n", r.Machine, r.Took, report.Foreign(r.rows))
	b.WriteString("`bench/README.md` says how to read this.\n\n")
	b.WriteString(rest)
	b.WriteString("## Rows\n\n")
	for _, row := range r.rows {
		b.WriteString(row.Markdown())
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
