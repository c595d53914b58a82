// Command compare measures HTTP/1.1 clients side by side and reports ratios.
//
//	go run ./cmd/compare                    everything: about 20 minutes
//	go run ./cmd/compare -quick             under 90 s
//	go run ./cmd/compare -list              the workloads
//	go run ./cmd/compare -only 'get/c64$|rtt/50ms' -contestants httppipe -rounds 7
//	go run ./cmd/compare -o R.md -json R.json -svg .
//	go run ./cmd/compare -write ..          tables and pictures of the README above
//
// With "client", "origin" or "delayproxy" as its first argument it is that process
// of the comparison, see internal/role.
//
// See the README for how to read what it prints.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/httppipe/httppipe/bench/internal/lab"
	"github.com/httppipe/httppipe/bench/internal/report"
	"github.com/httppipe/httppipe/bench/internal/role"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// quickBudget is the time after which -quick begins no more rounds than each
// row's first. The rest of 90 s is for compiling this command, from nothing if need
// be.
const quickBudget = 50 * time.Second

// settings are the command line.
type settings struct {
	quick       bool
	list        bool
	only        string
	contestants string
	rounds      int
	scale       float64
	budget      time.Duration
	ownConns    int
	subject     string
	bars        string
	markdown    string
	json        string
	from        string
	svg         string
	write       string
}

func parse() settings {
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "the most telling rows only: under 90 s")
	flag.BoolVar(&s.list, "list", false, "list the workloads and end")
	flag.StringVar(&s.only, "only", "", "workloads whose name matches this `regexp`")
	flag.StringVar(&s.contestants, "contestants", "", "comma-separated: only these, and each row's base")
	flag.IntVar(&s.rounds, "rounds", 3, "interleaved rounds")
	flag.Float64Var(&s.scale, "scale", 1, "multiply measured times by this")
	flag.DurationVar(&s.budget, "budget", 0, "begin no further round after this time; each row has one (0: no bound)")
	flag.IntVar(&s.ownConns, "conns", 0, "connections for httppipe where they are not limited (0: its choice)")
	flag.StringVar(&s.subject, "subject", "httppipe", "whom the bars are about")
	flag.StringVar(&s.bars, "bar", "", `fail unless these hold: "goals", or such as "get/c64 cpu nethttp <= 0.25; get/c64 allocs <= 8"`)
	flag.StringVar(&s.markdown, "o", "", "write the tables to this `file` too")
	flag.StringVar(&s.json, "json", "", "write all results to this `file`")
	flag.StringVar(&s.from, "from", "", "measure nothing: take the results from a `file` that -json wrote")
	flag.StringVar(&s.svg, "svg", "", "write cost.svg and latency.svg to this `directory`")
	flag.StringVar(&s.write, "write", "", "renew the tables between the markers of README.md in this `directory`, and pictures and tables in its docs")
	flag.Parse()
	if s.quick && s.budget == 0 {
		s.budget = quickBudget
	}
	return s
}

func main() {
	if role.Play(os.Args[1:]) {
		return
	}
	// The servers die with the thread that started them: keep it.
	runtime.LockOSThread()
	// SIGPIPE: whoever reads what we print has had enough.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	held, err := compare(ctx, parse())
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "compare: interrupted")
		os.Exit(130) // as shells say it
	case err != nil:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	case !held:
		os.Exit(1)
	}
}

// compare does everything. held is false if a bar does not hold.
func compare(ctx context.Context, s settings) (held bool, err error) {
	bars, goals, err := parseBars(s.bars)
	if err != nil {
		return false, err
	}
	all := workload.All()
	if s.quick {
		all = workload.Quick()
	}
	var names []string
	if s.contestants != "" {
		names = strings.Split(s.contestants, ",")
	}
	ws, err := workload.Select(all, s.only, names)
	if err != nil {
		return false, err
	}
	if s.list {
		for _, w := range ws {
			fmt.Printf("%-16s %s\n", w.ID, w.Title)
		}
		return true, nil
	}
	if err := checkWrite(s); err != nil {
		return false, err
	}
	r, err := results(ctx, s, ws)
	if err != nil {
		return false, err
	}
	verdicts := report.Judge(bars, r.rows, s.subject)
	if s.bars == "goals" {
		verdicts = report.Measured(verdicts) // of the rows that were asked for
	}
	rest := report.Overview(r.rows)
	if s.subject == "httppipe" {
		rest += report.VerdictTable("Goals", report.Measured(report.Judge(goals, r.rows, s.subject)))
	}
	rest += report.VerdictTable("Bars", verdicts)
	fmt.Print(rest)
	if err := r.write(s, rest); err != nil {
		return false, err
	}
	return allHold(verdicts), nil
}

// results are those of a run now, or of an earlier one.
func results(ctx context.Context, s settings, ws []workload.Workload) (*run, error) {
	if s.from != "" {
		return readRun(s.from, ws)
	}
	begin := time.Now()
	rows, err := measure(ctx, s, ws, begin)
	if err != nil {
		return nil, err
	}
	return newRun(rows, begin), nil
}

// parseBars returns the bars to fail on, and the goals that are only shown.
func parseBars(text string) (bars, goals []report.Bar, err error) {
	if goals, err = report.ParseBars(report.Goals); err != nil {
		return nil, nil, err
	}
	if text == "goals" {
		return goals, nil, nil
	}
	bars, err = report.ParseBars(text)
	return bars, goals, err
}

func allHold(verdicts []report.Verdict) bool {
	for _, v := range verdicts {
		if !v.Holds() {
			return false
		}
	}
	return true
}

// measure runs all rounds of all workloads and prints each row when it is done,
// until ctx ends.
func measure(ctx context.Context, s settings, ws []workload.Workload, begin time.Time) ([]report.Row, error) {
	p := newProgress(os.Stderr, begin)
	p.say("starting servers")
	l, runnable, err := lab.New(ws)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if n := len(ws) - len(runnable); n > 0 {
		p.note("%d workloads are left out: nginx is not installed", n)
	}
	var rows []report.Row
	for i, w := range runnable {
		r := report.Row{Workload: w}
		for round := range s.rounds {
			if round > 0 && s.budget > 0 && time.Since(begin) > budgetFor(s.budget, i, len(runnable)) {
				p.note("%s: %d of %d rounds, for lack of time", w.ID, round, s.rounds)
				break
			}
			p.say("%d/%d %s, round %d of %d", i+1, len(runnable), w.ID, round+1, s.rounds)
			if err := runRound(ctx, l, s, &r, round, p); err != nil {
				p.clear()
				return nil, err
			}
		}
		rows = append(rows, r)
		p.clear()
		fmt.Println(r.Markdown())
	}
	return rows, nil
}

// budgetFor shares the time out, so that the first rows don't take it all.
func budgetFor(budget time.Duration, row, rows int) time.Duration {
	return budget * time.Duration(row+1) / time.Duration(rows)
}

// runRound measures each contestant once. The order rotates, so that nobody
// always follows the same one. The only error is that of ctx.
func runRound(ctx context.Context, l *lab.Lab, s settings, r *report.Row, round int, p *progress) error {
	names := r.Workload.Contestants
	for i := range names {
		name := names[(i+round)%len(names)]
		res, err := l.Run(ctx, r.Workload, name, s.ownConns, s.scale)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.note("%s %s: %v", r.Workload.ID, name, err)
			continue
		case res.Errors > 0:
			p.note("%s %s: %d errors, first: %s", r.Workload.ID, name, res.Errors, res.FirstError)
		}
		res.Round = round
		r.Results = append(r.Results, res)
	}
	return nil
}
