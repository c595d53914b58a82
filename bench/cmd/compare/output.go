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
)

// writeFiles writes what was asked for besides the output. rest is what follows
// the rows' tables.
func writeFiles(s settings, rows []report.Row, rest string, begin time.Time) error {
	if s.markdown != "" {
		if err := os.WriteFile(s.markdown, []byte(markdown(rows, rest, begin)), 0o644); err != nil {
			return err
		}
	}
	if s.json != "" {
		if err := writeJSON(s.json, rows, begin); err != nil {
			return err
		}
	}
	if s.svg != "" {
		if err := writeCharts(s.svg, rows); err != nil {
			return err
		}
	}
	if s.write != "" {
		return writeDocs(s.write, rows, rest, begin)
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

// command is how to get the same again.
func command() string {
	args := []string{"go run ./cmd/compare"}
	for _, a := range os.Args[1:] {
		if strings.ContainsAny(a, " |$*<>;()'\"") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		args = append(args, a)
	}
	return strings.Join(args, " ")
}

// machine says what was measured on.
func machine() string {
	return fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

func markdown(rows []report.Row, rest string, begin time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Comparison of %s\n\n", begin.UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "    cd bench && %s\n\n", command())
	fmt.Fprintf(&b, "%s, %s. %s\n", machine(), time.Since(begin).Round(time.Second), report.Foreign(rows))
	b.WriteString("`bench/README.md` says how to read this.\n\n")
	b.WriteString(rest)
	b.WriteString("## Rows\n\n")
	for _, r := range rows {
		b.WriteString(r.Markdown())
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// A file is what -json writes.
type file struct {
	Command string    `json:"command"`
	Begin   time.Time `json:"begin"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	CPUs    int       `json:"cpus"`
	Rows    []fileRow `json:"rows"`
}

type fileRow struct {
	Workload string          `json:"workload"`
	Title    string          `json:"title"`
	Base     string          `json:"base"`
	Results  []result.Result `json:"results"`
}

func writeJSON(name string, rows []report.Row, begin time.Time) error {
	f := file{Command: command(), Begin: begin.UTC(), Go: runtime.Version(), OS: runtime.GOOS, CPUs: runtime.NumCPU()}
	for _, r := range rows {
		f.Rows = append(f.Rows, fileRow{r.Workload.ID, r.Workload.Title, r.Workload.Base, r.Results})
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
