package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// want reports the lines of got that differ from those of want.
func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func printed(r *report) string {
	var b strings.Builder
	r.print(&b)
	return b.String()
}

// twoDocuments is a report of all ways, with contents known or not.
func twoDocuments(known bool) *report {
	r := &report{callers: 64, docs: []document{{url: "http://a.test/0"}, {url: "http://a.test/1"}}}
	if known {
		r.roundTrip = 50 * time.Millisecond
		r.docs[0].want, r.docs[1].want = []byte("a"), []byte("b")
	}
	for i, w := range allWays(2) {
		r.outcomes = append(r.outcomes, outcome{
			way:     w,
			took:    time.Duration(i+1) * time.Second / 2,
			opened:  int64(i + 1),
			results: []result{{done: true, status: 200, octets: 1}, {done: true, status: 404, octets: 12345}},
		})
	}
	return r
}

func TestLimit(t *testing.T) {
	rep := &report{docs: make([]document, 320), callers: 64, roundTrip: 50 * time.Millisecond}
	want := []time.Duration{
		(1 + 5) * 50 * time.Millisecond,   // 320 / 64 callers
		(1 + 160) * 50 * time.Millisecond, // 320 / 2 connections
		(1 + 5) * 50 * time.Millisecond,
	}
	for i, w := range allWays(2) {
		if got := rep.limit(w); got != want[i] {
			t.Errorf("%s: limit %v, want %v", w.name, got, want[i])
		}
	}
	rep.docs = make([]document, 321) // one too many for five batches
	if got := rep.limit(allWays(2)[0]); got != (1+6)*50*time.Millisecond {
		t.Errorf("321 documents: limit %v, want 350ms", got)
	}
}

func TestReportOfTheDemonstration(t *testing.T) {
	wantText(t, printed(twoDocuments(true)), `
                              time  requests/s  opened      limit
net/http                    0.50 s           4       1     0.10 s
net/http, 2 connections     1.00 s           2       2     0.10 s
httppipe, 2 connections     1.50 s           1       3     0.10 s

limit: what no client can go below, (1 + ceil(requests / at once)) round trips:
one to connect, then one for each batch of requests under way at once. Those are
as many as there are callers, or as connections where each carries one at a time.
All 2 documents arrived octet by octet as they are, in each way.

httppipe on 2 connections took 3.0 times as long as net/http, which opened 1,
and was 0.7 times as fast as net/http on 2 connections.
`)
}

// Without a round trip there used to be no word about what had arrived.
func TestReportWithoutARoundTrip(t *testing.T) {
	r := twoDocuments(true)
	r.roundTrip = 0
	wantText(t, printed(r), `
                              time  requests/s  opened
net/http                    0.50 s           4       1
net/http, 2 connections     1.00 s           2       2
httppipe, 2 connections     1.50 s           1       3

All 2 documents arrived octet by octet as they are, in each way.

httppipe on 2 connections took 3.0 times as long as net/http, which opened 1,
and was 0.7 times as fast as net/http on 2 connections.
`)
}

func TestReportOfURLs(t *testing.T) {
	wantText(t, printed(twoDocuments(false)), `
status      octets  URL
   200           1  http://a.test/0
   404       12345  http://a.test/1

                              time  requests/s  opened
net/http                    0.50 s           4       1
net/http, 2 connections     1.00 s           2       2
httppipe, 2 connections     1.50 s           1       3
`)
}

func TestReportShowsWaysThatDisagree(t *testing.T) {
	r := twoDocuments(false)
	r.outcomes = r.outcomes[1:]
	r.outcomes[0].results[0].sum[3] = 0x1f
	r.outcomes[1].results[1] = result{done: true, err: errors.New("connection refused")}
	wantText(t, printed(r), `
status      octets  URL
   200           1  http://a.test/0  (net/http, 2 connections: sha256 0000001f...)
   200           1  http://a.test/0  (httppipe, 2 connections: sha256 00000000...)
   404       12345  http://a.test/1  (net/http, 2 connections: sha256 00000000...)
 error           -  http://a.test/1  (httppipe, 2 connections: connection refused)

                              time  requests/s  opened
net/http, 2 connections     1.00 s           2       2
httppipe, 2 connections     1.50 s           1       3  1 failed

1 of 2 URLs failed in one way or more.
`)
	if r.failures() != 1 {
		t.Errorf("%d failures, want 1", r.failures())
	}
}

func TestReportSaysThatItIsPartial(t *testing.T) {
	r := twoDocuments(false)
	r.outcomes[1].results[1] = result{}
	r.outcomes[2] = outcome{way: r.outcomes[2].way}
	wantText(t, printed(r), `
status      octets  URL
   200           1  http://a.test/0
   404       12345  http://a.test/1

                              time  requests/s  opened
net/http                    0.50 s           4       1
net/http, 2 connections     1.00 s           1       2  partial: 1 of 2
httppipe, 2 connections    not run

These figures are partial: not everything was fetched.
`)
}

func TestReportListsWrongContentAndClaimsNothing(t *testing.T) {
	r := twoDocuments(true)
	r.outcomes[2].results[1].err = errors.New("octet 0 is 0x61, want 0x62")
	got := printed(r)
	if !strings.HasSuffix(got, "\nhttppipe, 2 connections: octet 0 is 0x61, want 0x62\n") {
		t.Errorf("the error is not at the end of:\n%s", got)
	}
	if strings.Contains(got, "arrived") {
		t.Errorf("claims that all is well:\n%s", got)
	}
}

func TestWhatFailsIsNoSpeed(t *testing.T) {
	r := twoDocuments(false)
	refused := result{done: true, err: errors.New("connection refused")}
	r.outcomes = r.outcomes[1:]
	r.outcomes[0].results = []result{refused, refused}
	r.outcomes[1].results[0] = refused
	got := printed(r)
	want := `
                              time  requests/s  opened
net/http, 2 connections     1.00 s           -       2  2 failed
httppipe, 2 connections     1.50 s           1       3  1 failed

2 of 2 URLs failed in one way or more.
`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got:\n%s\nwant at its end:\n%s", got, want)
	}
}

// Who wonders why net/http opens more connections than there are callers is told,
// where it does.
func TestReportSaysWhyConnectionsAreOpenedAgain(t *testing.T) {
	const why = "net/http keeps 2 idle ones per host by default"
	r := twoDocuments(true)
	r.outcomes[0].opened = 2
	if got := printed(r); strings.Contains(got, why) {
		t.Errorf("explains what did not happen:\n%s", got)
	}
	r.outcomes[0].opened = 3
	if got := printed(r); !strings.Contains(got, why) {
		t.Errorf("no %q in:\n%s", why, got)
	}
}

func TestConclusionNeedsAllWays(t *testing.T) {
	r := twoDocuments(true)
	r.outcomes = r.outcomes[2:]
	if got := printed(r); strings.Contains(got, "times as") {
		t.Errorf("compares one way with itself:\n%s", got)
	}
}
