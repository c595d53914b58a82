package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/httppipe/httppipe/bench/internal/report"
)

// What is between these lines of a README is written by -write.
const (
	beginMarker = "<!-- measured: begin, by cd bench && go run ./cmd/compare -write .. -->\n"
	endMarker   = "<!-- measured: end -->\n"
)

// docsDir has the pictures and the full tables, below the directory of -write.
const docsDir = "docs"

// checkWrite finds out whether -write will work, before anything is measured.
func checkWrite(s settings) error {
	if s.write == "" {
		return nil
	}
	if s.quick || s.only != "" || s.contestants != "" || s.subject != "httppipe" {
		return errors.New("-write is for a run of all rows")
	}
	readme := filepath.Join(s.write, "README.md")
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	if _, err := between(string(old), ""); err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return nil
}

// writeDocs renews what a repository says about speed: the part of README.md
// between the markers, and in docs the pictures and all tables.
func (r *run) writeDocs(dir, rest string) error {
	readme := filepath.Join(dir, "README.md")
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	text, err := between(string(old), r.digest())
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	docs := filepath.Join(dir, docsDir)
	if err := os.MkdirAll(docs, 0o755); err != nil {
		return err
	}
	if err := writeCharts(docs, r.rows); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, "speed.md"), []byte(r.markdown(rest)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(readme, []byte(text), 0o644)
}

// between puts text between the markers of old.
func between(old, text string) (string, error) {
	before, after, ok := strings.Cut(old, beginMarker)
	_, after, ok2 := strings.Cut(after, endMarker)
	if !ok || !ok2 {
		return "", fmt.Errorf("it lacks the line %q or %q", beginMarker, endMarker)
	}
	return before + beginMarker + "\n" + text + endMarker + after, nil
}

// digest is what stands between the markers.
func (r *run) digest() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s with `cd bench && %s`: %s.\n", r.Begin.Format(time.DateOnly), r.Command, r.Machine)
	fmt.Fprintf(&b, "%s\nRatios are medians of ratios in the same round, with their range; [%s/speed.md](%[2]s/speed.md) has everything.\n\n",
		report.Foreign(r.rows), docsDir)
	fmt.Fprintf(&b, "![Client CPU per request, relative to net/http](%s/cost.svg)\n\n", docsDir)
	fmt.Fprintf(&b, "![Requests per second against round-trip time](%s/latency.svg)\n\n", docsDir)
	b.WriteString(report.Digest(r.rows))
	return b.String()
}
