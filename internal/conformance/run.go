package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A runner runs tests, each in a process of its own.
type runner struct {
	*options
	binary, folder string
	internals      map[string]string // tests, or subtests, of net/http's inner workings
	h2only         map[string]string // those that need HTTP/2

	hangs atomic.Int32 // tests that ran into their time limit
}

// runAll runs the tests, and those that have failed once more, alone: a loaded
// machine upsets some.
func (r *runner) runAll(tests []*test) {
	var group sync.WaitGroup
	var done atomic.Int32
	slots := make(chan struct{}, max(1, r.jobs))
	for _, t := range tests {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			r.run(t, 0)
			if n := done.Add(1); r.verbose {
				fmt.Printf("%s %s (%.2fs) %s\n", t.status, t.name, t.seconds, t.reason)
			} else if n%50 == 0 {
				fmt.Fprintf(os.Stderr, "stdlib: %d/%d\n", n, len(tests))
			}
		})
	}
	group.Wait()
	for try := range r.retries {
		for _, t := range tests {
			if t.status == "FAIL" && t.kind != "timeout" {
				r.retry(t, try+1)
			}
		}
	}
}

func (r *runner) retry(t *test, try int) {
	again := &test{name: t.name, file: t.file}
	r.run(again, try)
	if again.status == "PASS" {
		t.status, t.reason = "FLAKY", "failed, then passed alone: "+t.reason
	}
}

// limit is how long a test may take. An implementation that hangs in test after
// test is not given the full time for each.
func (r *runner) limit() time.Duration {
	switch n := r.hangs.Load(); {
	case n >= 30:
		return r.timeout / 12
	case n >= 6:
		return r.timeout / 4
	}
	return r.timeout
}

// run runs one test and finds its verdict.
func (r *runner) run(t *test, try int) {
	began := time.Now()
	out, err := r.output(t.name, r.limit())
	t.seconds = time.Since(began).Seconds()
	name := t.name + ".txt"
	if try > 0 {
		name = fmt.Sprintf("%s.retry%d.txt", t.name, try)
	}
	check(os.WriteFile(filepath.Join(r.out, "logs", name), out, 0o644))

	v := readVerdict(string(out))
	if err == nil {
		v.passed(t)
		return
	}
	v.failed(t)
	if t.kind == "timeout" {
		r.hangs.Add(1)
	}
	r.excuse(t, v)
}

// proxyVariables would lead requests of the tests elsewhere.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy"}

// output runs the test in net/http's folder, where its data lies.
func (r *runner) output(name string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.binary, "-test.run=^"+name+"$", "-test.v",
		"-test.timeout="+limit.String(), "-test.paniconexit0", fmt.Sprintf("-test.short=%v", r.short))
	cmd.Dir = r.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(proxyVariables, name)
	})
	cmd.Env = append(cmd.Env, fmt.Sprintf("STDLIB_H2=%v", r.h2))
	return cmd.CombinedOutput()
}

// excuse finds failures that the lists account for.
func (r *runner) excuse(t *test, v *verdict) {
	fails := v.failures()
	if len(fails) == 0 {
		fails = []string{t.name}
	}
	if _, ok := covers(r.h2only, fails); ok && !r.h2 {
		t.status, t.reason = "DROPPED", "needs HTTP/2: "+t.reason
		if v.has("PASS") { // the rest of it passed
			t.status, t.reason = "PASS", "but for what needs HTTP/2: "+strings.Join(fails, " ")
		}
		return
	}
	if reason, ok := covers(r.internals, fails); ok {
		t.status = "INTERNAL"
		t.reason += " [" + reason + "]"
	}
}

// covers reports whether a list has all of the tests, or what they are part of.
func covers(list map[string]string, tests []string) (reason string, ok bool) {
	for _, t := range tests {
		found := false
		for name, why := range list {
			if t == name || strings.HasPrefix(t, name+"/") {
				reason, found = why, true
			}
		}
		if !found {
			return "", false
		}
	}
	return reason, true
}
