package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// runProgram runs the program and returns its exit code and what it printed.
func runProgram(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestDemonstration(t *testing.T) {
	code, out, errs := runProgram(t, t.Context(), "-rtt", "1ms")
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, %q on standard error; want 0 and nothing", code, errs)
	}
	for _, want := range []string{
		"  opened ",
		"All 320 documents arrived octet by octet",
		"\nhttppipe on 2 connections took ",
		" times as fast as net/http on 2 connections.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// An interruptor cancels a context when a word is written to it.
type interruptor struct {
	bytes.Buffer
	word   string
	cancel context.CancelFunc
}

func (w *interruptor) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.word) {
		w.cancel()
	}
	return w.Buffer.Write(b)
}

func TestInterruptionLeavesAPartialTable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &interruptor{word: "2 connections: 80 of 320", cancel: cancel}
	var errs bytes.Buffer
	if code := run(ctx, nil, out, &errs); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if got := errs.String(); got != "quickstart: interrupted\n" {
		t.Errorf("on standard error: %q", got)
	}
	for _, want := range []string{"partial: ", "not run", "These figures are partial"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "canceled") {
		t.Errorf("shows requests that were interrupted as errors:\n%s", out)
	}
}

func TestURLsAreFetchedOnceInEachWay(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
		}
		fmt.Fprintf(w, "You asked for %s.", r.URL.Path)
	}))
	defer srv.Close()
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("# a list\n\n "+srv.URL+"/b \n"+srv.URL+"/missing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runProgram(t, t.Context(), "-f", list, srv.URL+"/a")
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, %q on standard error; want 0 and nothing", code, errs)
	}
	for _, want := range []string{
		"   200          17  " + srv.URL + "/a\n",
		"   200          17  " + srv.URL + "/b\n",
		"   404          23  " + srv.URL + "/missing\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if n := requests.Load(); n != 9 {
		t.Errorf("%d requests, want 3 URLs in 3 ways", n)
	}
}

func TestAFailedFetchIsReportedAndFails(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close() // nobody listens there any more
	code, out, errs := runProgram(t, t.Context(), "-only", srv.URL)
	if code != exitFailed || errs != "quickstart: 1 download failed\n" {
		t.Errorf("exit code %d, %q on standard error", code, errs)
	}
	for _, want := range []string{
		" error           -  " + srv.URL + "  (httppipe, 2 connections: Get ",
		"           -       0  1 failed\n",
		"\n1 of 1 URL failed in one way or more.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestWrongContentIsFound(t *testing.T) {
	right := "the right content"
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"as it must be", right, 200, ""},
		{"one octet", "the right c0ntent", 200, "octet 11 is 0x30, want 0x6f"},
		{"too short", "the right", 200, "9 octets, want 17"},
		{"status", right, 203, "status 203, want 200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			}))
			defer srv.Close()
			r := fetch(t.Context(), srv.Client(), document{url: srv.URL, want: []byte(right)})
			if got := fmt.Sprint(r.err); tt.want == "" && r.err != nil || !strings.HasSuffix(got, tt.want) {
				t.Errorf("error %q, want one that ends in %q", got, tt.want)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string // somewhere in what is printed
	}{
		{"-h", exitOK, "go run ./examples/quickstart"},
		{"-h", exitOK, "those of the built program"},
		{"http://a.test/ -n 3", exitUsage, "-n: options go before URLs"},
		{"-n 0", exitUsage, "-n must be at least 1"},
		{"-c 0", exitUsage, "-c must be at least 1"},
		{"-rtt -1s", exitUsage, "-rtt must not be negative"},
		{"-x", exitUsage, "not defined: -x"},
		{"-f /does/not/exist", exitUsage, "/does/not/exist"},
		{"-f " + os.DevNull, exitUsage, "no URLs"},
		{"www.example.com/", exitUsage, "not an http or https URL"},
	} {
		code, out, errs := runProgram(t, t.Context(), strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: exit code %d, printed %q; want %d and %q", tt.args, code, out+errs, tt.code, tt.want)
		}
	}
}

func TestContentsAreDistinct(t *testing.T) {
	seen := make(map[string]int)
	for i := range demoDocuments {
		c := string(content(i))
		if j, ok := seen[c]; ok {
			t.Errorf("documents %d and %d are the same", i, j)
		}
		seen[c] = i
		if c != string(content(i)) {
			t.Errorf("document %d is not always the same", i)
		}
	}
}
