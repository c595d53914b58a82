package main

import (
	"regexp"
	"slices"
	"strings"
)

// A verdict is what a test and its subtests printed.
type verdict struct {
	text    string
	results map[string]string // PASS, FAIL or SKIP by name; RUN if it did not end
	last    map[string]string // the last message of each: a Fatal comes last
}

var (
	resultLine  = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
	runLine     = regexp.MustCompile(`^=== (?:RUN|CONT|NAME|PAUSE)\s+(\S+)`)
	messageLine = regexp.MustCompile(`^\s*\w+_test\.go:\d+: (.*)`)
	panicLine   = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*|Too many goroutines running.*)$`)

	// A test that skips inside a synctest bubble is said to pass.
	skipMessage = regexp.MustCompile(`: (HARNESS-H2ONLY|skipped until |skipping |remove skip )`)
)

func readVerdict(text string) *verdict {
	v := &verdict{text: text, results: map[string]string{}, last: map[string]string{}}
	ended := map[string]bool{}
	var current string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := runLine.FindStringSubmatch(line); m != nil {
			current = m[1]
			if v.results[current] == "" {
				v.results[current] = "RUN"
			}
		} else if m := resultLine.FindStringSubmatch(line); m != nil {
			current = m[2]
			v.results[current] = m[1]
			ended[current] = true
		} else if m := messageLine.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[1], "server log:") && !ended[current] {
			v.last[current] = strings.TrimSpace(line)
		}
	}
	for name, result := range v.results {
		if result == "PASS" && skipMessage.MatchString(v.last[name]) {
			v.results[name] = "SKIP"
		}
	}
	return v
}

// children returns the subtests of a test, and theirs.
func (v *verdict) children(name string) (names []string) {
	for other := range v.results {
		if strings.HasPrefix(other, name+"/") {
			names = append(names, other)
		}
	}
	return names
}

// failures returns the tests that failed or did not end: those without subtests,
// and those that failed although none of their subtests did.
func (v *verdict) failures() (names []string) {
	failed := func(name string) bool { return v.results[name] == "FAIL" || v.results[name] == "RUN" }
	for name := range v.results {
		if failed(name) && !slices.ContainsFunc(v.children(name), failed) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// has reports whether a test without subtests had a result.
func (v *verdict) has(result string) bool {
	for name, got := range v.results {
		if got == result && len(v.children(name)) == 0 {
			return true
		}
	}
	return false
}

// passed decides about a test whose process succeeded.
func (v *verdict) passed(t *test) {
	switch {
	case v.results[t.name] == "":
		t.status, t.reason = "DROPPED", "not in the test binary"
	case strings.Contains(v.text, "HARNESS-H2ONLY") && !v.has("PASS"):
		t.status, t.reason = "DROPPED", "HTTP/2 only"
	case v.results[t.name] == "SKIP" || !v.has("PASS"):
		t.status = "SKIP"
		for _, message := range v.last {
			t.reason = message
		}
	default:
		t.status = "PASS"
	}
}

// maxReason bounds what is shown of a failure; the logs have the rest.
const maxReason = 400

// failed describes the failure of a test.
func (v *verdict) failed(t *test) {
	t.status, t.kind = "FAIL", v.kind()
	var parts []string
	for _, name := range v.failures() {
		message := v.last[name]
		if sub := strings.TrimPrefix(strings.TrimPrefix(name, t.name), "/"); sub != "" {
			message = sub + ": " + message
		}
		parts = append(parts, message)
	}
	t.reason = strings.Join(parts, "; ")
	if m := panicLine.FindString(v.text); t.kind != "fail" && m != "" {
		t.reason = m + " | " + t.reason
	}
	if len(t.reason) > maxReason {
		t.reason = t.reason[:maxReason] + "..."
	}
}

// kind names the kind of a failure.
func (v *verdict) kind() string {
	contains := func(s string) bool { return strings.Contains(v.text, s) }
	switch {
	case contains("WARNING: DATA RACE"):
		return "race"
	case contains("panic: test timed out"):
		return "timeout"
	case contains("all goroutines in bubble are blocked"), contains("all goroutines are asleep"):
		return "deadlock"
	case contains("Too many goroutines running"), contains("Test appears to have leaked"):
		return "leak"
	case contains("\npanic: "), strings.HasPrefix(v.text, "panic: "):
		return "panic"
	case contains("\nfatal error: "):
		return "fatal"
	}
	return "fail"
}
