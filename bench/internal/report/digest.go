package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/httppipe/httppipe/bench/internal/workload"
)

// Digest is the summary for readers who only want to know whether it pays: a table
// for each question, without those that no row answers.
func Digest(rows []Row) string {
	var b strings.Builder
	for _, part := range []struct {
		intro   string
		columns []string
		line    func(Row) []string // nil: not in this table
	}{
		{
			"What a request costs the client. CPU and requests/s are relative to `net/http` with as many connections as it likes, or as many as the row allows; " +
				"*floor* is a device that does the least any pipelining `RoundTripper` can do, and is no client.",
			[]string{"workload", "CPU µs, net/http", "CPU µs, httppipe", "CPU ×", "CPU ×, fasthttp pipelining as RoundTripper", "CPU ×, floor", "requests/s ×", "allocations", "reads + writes"},
			costLine,
		},
		{
			"An origin far away, 64 callers. `net/http` gets as many connections; with one request at a time on each, the most that is possible is 64/N times as much.",
			[]string{"round trip", "connections N", "requests/s, net/http", "requests/s, httppipe", "×", "64/N"},
			farLine,
		},
		{
			"The first requests of a new client, all at once, until the last is answered: httppipe tries an unknown origin before it trusts it.",
			[]string{"requests", "round trip", "connections at most", "ms, net/http", "ms, net/http with a connection for each", "ms, httppipe", "connections, httppipe"},
			coldLine,
		},
		{
			"One answer in a hundred takes 100 ms, 8 connections: how many of the *other* requests take over 50 ms?",
			[]string{"load", "net/http", "fasthttp pipelining", "httppipe", "sent again by httppipe", "requests/s ×"},
			slowLine,
		},
		{
			"Memory, kernel buffers not included.",
			[]string{"octets held", "net/http", "httppipe", "×"},
			heldLine,
		},
	} {
		t := table{columns: part.columns}
		for _, r := range rows {
			if cells := part.line(r); cells != nil && r.has("httppipe") {
				t.add(cells...)
			}
		}
		if len(t.rows) > 0 {
			fmt.Fprintf(&b, "%s\n\n%s\n", part.intro, &t)
		}
	}
	return b.String()
}

// ratio is the median of a contestant's ratios to the row's base.
func (r Row) ratio(name string, m Metric) float64 { return median(r.ratios(name, r.Workload.Base, m)) }

func costLine(r Row) []string {
	w := r.Workload
	if w.RTT != 0 || w.Kind != workload.Requests && w.Kind != workload.Upload {
		return nil
	}
	cpu := Metrics["cpu"]
	return []string{
		w.Title,
		number(r.median(w.Base, cpu)), number(r.median("httppipe", cpu)),
		spread(r.ratios("httppipe", w.Base, cpu)), number(r.ratio("fasthttp-pipe-rt", cpu)), number(floorOf(r).ratio),
		number(r.ratio("httppipe", Metrics["rps"])),
		fixed(r.median("httppipe", Metrics["allocs"]), 1), fixed(r.median("httppipe", Metrics["calls"]), 2),
	}
}

func farLine(r Row) []string {
	w := r.Workload
	if w.RTT == 0 || w.Kind != workload.Requests {
		return nil
	}
	rps := Metrics["rps"]
	return []string{
		milliseconds(w.RTT), fmt.Sprint(w.Options.Conns),
		number(r.median("nethttp-N", rps)), number(r.median("httppipe", rps)), spread(r.ratios("httppipe", "nethttp-N", rps)),
		number(float64(w.Options.Concurrency) / float64(w.Options.Conns)),
	}
}

func coldLine(r Row) []string {
	w := r.Workload
	if w.Kind != workload.Cold {
		return nil
	}
	batch, most := Metrics["batch"], none
	if w.Limited {
		most = fmt.Sprint(w.Options.Conns)
	}
	return []string{
		fmt.Sprint(w.Options.Concurrency), milliseconds(w.RTT), most,
		number(r.median("nethttp-N", batch)), number(r.median("nethttp", batch)), number(r.median("httppipe", batch)),
		fixed(r.median("httppipe", Metrics["conns"]), 0),
	}
}

func slowLine(r Row) []string {
	w := r.Workload
	if w.Kind != workload.Mixed {
		return nil
	}
	late := Metrics["late"]
	load := fmt.Sprintf("%d callers, one request after the other", w.Options.Concurrency)
	if w.Options.Rate > 0 {
		load = fmt.Sprintf("%g requests/s by a schedule", w.Options.Rate)
	}
	return []string{
		load, percent(r.median("nethttp-N", late)), percent(r.median("fasthttp-pipe", late)), percent(r.median("httppipe", late)),
		percent(r.median("httppipe", Metrics["again"])), number(r.ratio("httppipe", Metrics["rps"])),
	}
}

func heldLine(r Row) []string {
	w := r.Workload
	if w.Kind != workload.Memory {
		return nil
	}
	held := Metrics["held"]
	return []string{
		strings.TrimPrefix(w.Title, "octets held "),
		fixed(r.median(w.Base, held), 0), fixed(r.median("httppipe", held), 0), spread(r.ratios("httppipe", w.Base, held)),
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
