package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// maxErrors is how many errors are printed of each way.
const maxErrors = 10

// An outcome is what one way of fetching achieved.
type outcome struct {
	way     way
	results []result // nil if it was not started
	took    time.Duration
	opened  int64 // connections, also those that were closed again
}

// finished returns how many documents were fetched, well or not.
func (o *outcome) finished() int {
	n := 0
	for i := range o.results {
		if o.results[i].done {
			n++
		}
	}
	return n
}

// rate returns how many documents arrived in a second, or "-" if none did: what
// fails may fail fast, and is no speed.
func (o *outcome) rate() string {
	arrived := o.finished() - len(o.errors())
	if arrived == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(arrived)/o.took.Seconds())
}

// A report compares outcomes.
type report struct {
	docs      []document
	callers   int
	roundTrip time.Duration // 0 if unknown
	outcomes  []outcome
}

// partial reports whether documents are missing because of an interruption.
func (r *report) partial() bool {
	for i := range r.outcomes {
		if r.outcomes[i].finished() < len(r.docs) {
			return true
		}
	}
	return false
}

// print writes the whole report.
func (r *report) print(w io.Writer) {
	known := len(r.docs) > 0 && r.docs[0].want != nil
	if !known {
		r.printDocuments(w)
	}
	r.printTable(w)
	r.printNotes(w)
	if known {
		r.printErrors(w)
	}
}

// printTable writes one row for each way.
func (r *report) printTable(w io.Writer) {
	name := 0
	for i := range r.outcomes {
		name = max(name, len(r.outcomes[i].way.name))
	}
	head := fmt.Sprintf("%-*s  %9s  %10s  %6s", name, "", "time", "requests/s", "opened")
	if r.roundTrip > 0 {
		head += fmt.Sprintf("  %9s", "limit")
	}
	fmt.Fprintf(w, "\n%s\n", styled(w, bold, head))
	for i := range r.outcomes {
		o := &r.outcomes[i]
		fmt.Fprintf(w, "%-*s  %s\n", name, o.way.name, r.row(o))
	}
}

// row returns the columns of one way after its name.
func (r *report) row(o *outcome) string {
	if o.results == nil {
		return fmt.Sprintf("%9s", "not run")
	}
	n := o.finished()
	row := fmt.Sprintf("%9s  %10s  %6d", seconds(o.took), o.rate(), o.opened)
	if r.roundTrip > 0 {
		row += fmt.Sprintf("  %9s", seconds(r.limit(o.way)))
	}
	if failed := len(o.errors()); failed > 0 {
		row += fmt.Sprintf("  %d failed", failed)
	}
	if n < len(r.docs) {
		row += fmt.Sprintf("  partial: %d of %d", n, len(r.docs))
	}
	return row
}

// limit returns the least time in which w can fetch all documents: a round trip
// to connect, then one for every batch of requests that can be under way at once.
func (r *report) limit(w way) time.Duration {
	atOnce := w.limit(r.callers)
	batches := (len(r.docs) + atOnce - 1) / atOnce
	return time.Duration(1+batches) * r.roundTrip
}

// printNotes explains the table.
func (r *report) printNotes(w io.Writer) {
	if r.partial() {
		fmt.Fprintln(w, "\nThese figures are partial: not everything was fetched.")
	}
	if n := r.failedDocuments(); n > 0 {
		fmt.Fprintf(w, "\n%d of %s failed in one way or more.\n", n, plural(len(r.docs), "URL"))
	}
	if r.reopens() {
		fmt.Fprintln(w, `
opened: all connections ever opened; net/http keeps 2 idle ones per host by default.`)
	}
	if r.docs[0].want == nil {
		return // nobody knows what they should be
	}
	fmt.Fprintln(w)
	if r.roundTrip > 0 {
		fmt.Fprint(w, `limit: what no client can go below, (1 + ceil(requests / at once)) round trips:
one to connect, then one for each batch of requests under way at once. Those are
as many as there are callers, or as connections where each carries one at a time.
`)
	}
	if !r.partial() && r.failures() == 0 {
		fmt.Fprintf(w, "All %d documents arrived octet by octet as they are, in each way.\n", len(r.docs))
		r.printConclusion(w)
	}
}

// failedDocuments returns how many documents failed in at least one way.
func (r *report) failedDocuments() int {
	n := 0
	for i := range r.docs {
		if slices.ContainsFunc(r.finishedIn(i), func(o *outcome) bool { return o.results[i].err != nil }) {
			n++
		}
	}
	return n
}

// reopens reports whether a way without a limit opened more connections than
// net/http keeps idle, so that it closed some and opened others instead.
func (r *report) reopens() bool {
	return slices.ContainsFunc(r.outcomes, func(o outcome) bool {
		return o.way.conns == 0 && o.opened > int64(http.DefaultMaxIdleConnsPerHost)
	})
}

// printConclusion says in one sentence what the table shows, if all ways were
// run: whether httppipe on a few connections is as good as one for each caller,
// and how much better than the same few without pipelining.
func (r *report) printConclusion(w io.Writer) {
	if len(r.outcomes) != len(allWays(1)) {
		return
	}
	free, few, pipe := &r.outcomes[0], &r.outcomes[1], &r.outcomes[2]
	fmt.Fprintf(w, "\nhttppipe on %s took %.1f times as long as net/http, which opened %d,\n"+
		"and was %.1f times as fast as net/http on %s.\n",
		plural(pipe.way.conns, "connection"), pipe.took.Seconds()/free.took.Seconds(), free.opened,
		few.took.Seconds()/pipe.took.Seconds(), plural(few.way.conns, "connection"))
}

// printDocuments writes a line for each document, or one for each way where the
// ways disagree.
func (r *report) printDocuments(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", styled(w, bold, fmt.Sprintf("%6s  %10s  %s", "status", "octets", "URL")))
	for i, doc := range r.docs {
		done := r.finishedIn(i)
		switch {
		case len(done) == 0:
			fmt.Fprintf(w, "%6s  %10s  %s\n", "-", "-", doc.url)
		case r.agree(done, i):
			fmt.Fprintf(w, "%s  %s\n", done[0].results[i], doc.url)
		default:
			for _, o := range done {
				res := o.results[i]
				fmt.Fprintf(w, "%s  %s  (%s: %s)\n", res, doc.url, o.way.name, res.detail(w))
			}
		}
	}
}

// finishedIn returns the outcomes of the ways that got to document i.
func (r *report) finishedIn(i int) []*outcome {
	var done []*outcome
	for j := range r.outcomes {
		if o := &r.outcomes[j]; o.results != nil && o.results[i].done {
			done = append(done, o)
		}
	}
	return done
}

// agree reports whether document i came out the same, and well, in these ways.
func (r *report) agree(ways []*outcome, i int) bool {
	first := ways[0].results[i]
	for _, o := range ways {
		if res := o.results[i]; res.err != nil || res != first {
			return false
		}
	}
	return true
}

// String returns status and octets in columns.
func (r result) String() string {
	if r.err != nil && r.status == 0 {
		return fmt.Sprintf("%6s  %10s", "error", "-")
	}
	return fmt.Sprintf("%6d  %10d", r.status, r.octets)
}

// detail says what a line of status and octets leaves open.
func (r result) detail(w io.Writer) string {
	if r.err != nil {
		return styled(w, red, r.err.Error())
	}
	return fmt.Sprintf("sha256 %x...", r.sum[:4])
}

// errors returns the errors of all documents.
func (o *outcome) errors() []error {
	var errs []error
	for i := range o.results {
		if err := o.results[i].err; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// failures returns how many fetches failed or brought the wrong content.
func (r *report) failures() int {
	n := 0
	for i := range r.outcomes {
		n += len(r.outcomes[i].errors())
	}
	return n
}

// printErrors writes what went wrong.
func (r *report) printErrors(w io.Writer) {
	for i := range r.outcomes {
		o := &r.outcomes[i]
		errs := o.errors()
		for _, err := range errs[:min(len(errs), maxErrors)] {
			fmt.Fprintf(w, "%s: %s\n", o.way.name, styled(w, red, err.Error()))
		}
		if more := len(errs) - maxErrors; more > 0 {
			fmt.Fprintf(w, "%s: %s\n", o.way.name, plural(more, "more error"))
		}
	}
}
