// Quickstart fetches a few hundred documents three ways with the same
// http.Client code, and says how long each took: with net/http's transport as
// it comes, with the same held to a few connections, and with httppipe on that
// many connections.
//
// Without arguments it needs no network: it brings its own web server, behind a
// simulated round trip of 50 ms, and checks every octet that comes back. With
// URLs as arguments it fetches those. See -h.
//
// The files: main.go reads the command line, ways.go has the three transports,
// fetch.go the code that uses them, origin.go and delay.go the web server and
// the way to it, progress.go and report.go what is shown.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// How many documents the web server has. Five for each of 64 callers makes the
// slowest way take about 8 s.
const demoDocuments = 320

// Exit codes. That of an interrupted program is what shells use for SIGINT.
const (
	exitOK          = 0
	exitFailed      = 1 // a fetch failed, or what came back was wrong
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program the hard way
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit code. Cancelling ctx interrupts it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, code := parseOptions(args, stdout, stderr)
	if opts == nil {
		return code
	}
	var rep *report
	var err error
	if len(opts.urls) > 0 {
		rep = fetchURLs(ctx, opts, stdout)
	} else if rep, err = demonstrate(ctx, opts, stdout); err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
		return exitFailed
	}
	rep.print(stdout)
	if ctx.Err() != nil && rep.partial() {
		fmt.Fprintln(stderr, "quickstart: interrupted")
		return exitInterrupted
	}
	if n := rep.failures(); n > 0 {
		fmt.Fprintf(stderr, "quickstart: %s failed\n", plural(n, "download"))
		return exitFailed
	}
	return exitOK
}

// demonstrate fetches documents of a web server of its own.
func demonstrate(ctx context.Context, opts *options, stdout io.Writer) (*report, error) {
	o, err := startOrigin(demoDocuments)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	path, err := newLink(o.addr, opts.roundTrip)
	if err != nil {
		return nil, err
	}
	defer path.Close()
	fmt.Fprintf(stdout, "%d documents, %s at once, a round trip of %v\n\n",
		demoDocuments, plural(opts.callers, "caller"), opts.roundTrip)
	rep := &report{
		docs:      o.documents(path.addr()),
		callers:   opts.callers,
		roundTrip: opts.roundTrip,
	}
	rep.fetch(ctx, opts.ways(), path.dial, newProgress(stdout))
	return rep, nil
}

// fetchURLs fetches the documents that the user named.
func fetchURLs(ctx context.Context, opts *options, stdout io.Writer) *report {
	rep := &report{callers: opts.callers}
	for _, u := range opts.urls {
		rep.docs = append(rep.docs, document{url: u})
	}
	fmt.Fprintf(stdout, "%s, at most %s at once, HTTP/1.1\n\n",
		plural(len(opts.urls), "document"), plural(opts.callers, "caller"))
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	rep.fetch(ctx, opts.ways(), dialer.DialContext, newProgress(stdout))
	return rep
}

// fetch fetches all documents in each of the ways, one way after the other, and
// records what came of it. It stops early when ctx ends.
func (r *report) fetch(ctx context.Context, ways []way, dial dialFunc, p *progress) {
	for _, w := range ways {
		r.outcomes = append(r.outcomes, outcome{way: w})
		p.nameWidth = max(p.nameWidth, len(w.name))
	}
	for i, w := range ways {
		if ctx.Err() != nil {
			return
		}
		dial, opened := counting(dial)
		t := w.newTransport(dial)
		meter := p.start(w.name, len(r.docs))
		begun := time.Now()
		results := fetchAll(ctx, &http.Client{Transport: t}, r.docs, r.callers, meter.add)
		took := time.Since(begun)
		meter.finish()
		t.CloseIdleConnections()
		r.outcomes[i] = outcome{way: w, results: results, took: took, opened: opened.Load()}
	}
}
