package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/httppipe/httppipe/bench/internal/report"
	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

func TestProgress(t *testing.T) {
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, "   1s building\nlook\n   1s 1/2\n"},
		{true, clearLine + "   1s building" + clearLine + "look\n" + clearLine + "   1s 1/2" + clearLine},
	} {
		var out strings.Builder
		begin := time.Now()
		p := progress{w: &out, terminal: test.terminal, begin: begin, now: func() time.Time { return begin.Add(time.Second) }}
		p.say("building")
		p.note("look")
		p.say("%d/%d", 1, 2)
		p.clear()
		if out.String() != test.want {
			t.Errorf("terminal %v: %q, want %q", test.terminal, out.String(), test.want)
		}
	}
}

func TestProgressInAFileIsPlain(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if newProgress(f, time.Now()).terminal {
		t.Error("a file is taken for a terminal")
	}
}

func TestBudgetIsShared(t *testing.T) {
	if got := budgetFor(60*time.Second, 0, 4); got != 15*time.Second {
		t.Errorf("first row: %v", got)
	}
	if got := budgetFor(60*time.Second, 3, 4); got != time.Minute {
		t.Errorf("last row: %v", got)
	}
}

func TestParseBars(t *testing.T) {
	bars, goals, err := parseBars("goals")
	if err != nil || len(bars) == 0 || len(goals) != 0 {
		t.Errorf("goals: %d bars, %d goals, %v", len(bars), len(goals), err)
	}
	bars, goals, err = parseBars("a cpu b <= 1")
	if err != nil || len(bars) != 1 || len(goals) == 0 {
		t.Errorf("a bar: %d bars, %d goals, %v", len(bars), len(goals), err)
	}
	if _, _, err := parseBars("nonsense"); err == nil {
		t.Error("nonsense is accepted")
	}
	if allHold([]report.Verdict{{Bar: report.Bar{Op: "<=", Limit: 1}, Value: 2}}) {
		t.Error("2 <= 1")
	}
}

func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	s := settings{markdown: filepath.Join(dir, "R.md"), json: filepath.Join(dir, "R.json"), svg: dir}
	w := workload.Quick()[0]
	rows := []report.Row{{Workload: w, Results: []result.Result{
		{Name: "nethttp", CPU: 10, PerSecond: 1}, {Name: "httppipe", CPU: 2, PerSecond: 6},
	}}}
	if err := newRun(rows, time.Now()).write(s, "## the rest\n\n"); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(s.markdown)
	if err != nil || !strings.Contains(string(md), "## the rest\n") || !strings.Contains(string(md), "### get/c64: ") {
		t.Errorf("%v in\n%s", err, md)
	}
	again, err := readRun(s.json, workload.Quick())
	if err != nil || len(again.rows) != 1 || again.rows[0].Workload.ID != "get/c64" || again.rows[0].Results[1].CPU != 2 {
		t.Errorf("%v in %+v", err, again)
	}
	if again.markdown("## the rest\n\n") != string(md) {
		t.Error("other tables from the results read back")
	}
	if _, err := os.Stat(filepath.Join(dir, "cost.svg")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "latency.svg")); err == nil {
		t.Error("a picture of nothing was written")
	}
}

func TestWriteDocs(t *testing.T) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := settings{write: dir, subject: "httppipe"}
	if err := checkWrite(s); err == nil {
		t.Error("no error for a README without markers")
	}
	const old = "before\n" + beginMarker + "old numbers\n" + endMarker + "after\n"
	if err := os.WriteFile(readme, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := checkWrite(s); err != nil {
		t.Error(err)
	}
	s.quick = true
	if err := checkWrite(s); err == nil {
		t.Error("the numbers of a quick run may be written")
	}
	rows := []report.Row{{Workload: workload.Quick()[0], Results: []result.Result{
		{Name: "nethttp", CPU: 10, PerSecond: 1}, {Name: "httppipe", CPU: 2, PerSecond: 6},
	}}}
	for range 2 { // a second run leaves nothing of the first
		if err := newRun(rows, time.Now()).writeDocs(dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(readme)
	text := string(b)
	if err != nil || !strings.HasPrefix(text, "before\n"+beginMarker) || !strings.HasSuffix(text, endMarker+"after\n") ||
		strings.Contains(text, "old numbers") || strings.Count(text, "| GET 128 B, 64 callers | 10.0 | 2.00 | 0.20 (0.20–0.20) |") != 1 {
		t.Errorf("%v in\n%s", err, text)
	}
	for _, name := range []string{"cost.svg", "speed.md"} {
		if _, err := os.Stat(filepath.Join(dir, docsDir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestCommand(t *testing.T) {
	got := command([]string{"-only", "a|b", "-json", "/somewhere", "-o", "x", "-rounds", "2", "-bar", "it's"})
	if want := `go run ./cmd/compare -only 'a|b' -rounds 2 -bar 'it'\''s'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
