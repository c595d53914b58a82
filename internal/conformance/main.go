// Command conformance runs net/http's own tests of its client against another
// Transport. See README.md; run it by run.sh.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	project, here, out string
	work               string // a temporary folder, removed at the end
	temporary          bool   // out was not asked for
	files              string
	h2, baseline       bool
	jobs, retries      int
	timeout            time.Duration
	only, skip         *regexp.Regexp
	race, short        bool
	verbose            bool
}

// module is the import path of the project.
const module = "github.com/httppipe/httppipe"

func parseFlags() *options {
	o := new(options)
	flag.StringVar(&o.project, "project", "../..", "the checkout to judge")
	flag.StringVar(&o.here, "here", ".", "the folder of this program")
	flag.StringVar(&o.out, "out", "", "the folder for logs and results.tsv (default: a temporary one, removed if no test failed or was flaky)")
	flag.StringVar(&o.files, "files", "transport_test.go,clientconn_test.go", "the files of net/http whose tests are run")
	flag.BoolVar(&o.h2, "h2", true, "run the tests in their HTTP/2 modes too")
	flag.BoolVar(&o.baseline, "baseline", false, "judge net/http's own Transport")
	flag.IntVar(&o.jobs, "j", 2, "tests to run at the same time")
	flag.IntVar(&o.retries, "retry", 1, "times that a failed test is run again, alone")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "the longest that one test may take")
	flag.BoolVar(&o.race, "race", false, "use the race detector")
	flag.BoolVar(&o.short, "short", false, "run the tests with -short: goroutine leaks do not count then")
	flag.BoolVar(&o.verbose, "v", false, "print each test")
	match := func(p **regexp.Regexp) func(string) error {
		return func(s string) (err error) { *p, err = regexp.Compile(s); return err }
	}
	flag.Func("run", "run only tests whose name matches this expression", match(&o.only))
	flag.Func("skip", "leave out tests whose name matches this expression", match(&o.skip))
	flag.Parse()
	return o
}

func main() {
	o := parseFlags()
	began := time.Now()
	work, err := os.MkdirTemp("", "conformance-")
	check(err)
	o.work = work
	o.temporary = o.out == ""
	if o.temporary {
		o.out, err = os.MkdirTemp("", "conformance-logs-")
		check(err)
	}
	for _, dir := range []string{"m", "overlay"} {
		check(os.MkdirAll(filepath.Join(o.work, dir), 0o755))
	}
	check(os.MkdirAll(filepath.Join(o.out, "logs"), 0o755))
	all := o.judge(began)
	os.RemoveAll(o.work)
	if o.disposable(all) {
		os.RemoveAll(o.out)
	}
	if all["FAIL"] > 0 {
		os.Exit(1)
	}
}

// disposable reports whether nobody needs the logs of tests with this outcome.
func (o *options) disposable(all map[string]int) bool {
	return o.temporary && all["FAIL"] == 0 && all["FLAKY"] == 0
}

// judge builds and runs the tests, reports, and returns how many tests have each status.
func (o *options) judge(began time.Time) map[string]int {
	if o.baseline {
		o.makeBaseline()
	}
	b := o.newBuild()
	b.build()
	built := time.Since(began)
	r := &runner{
		options:   o,
		binary:    b.binary(),
		folder:    b.gen.tp.srcDir,
		internals: readList(filepath.Join(o.here, "internals.txt")),
		h2only:    readList(filepath.Join(o.here, "h2only.txt")),
	}
	r.runAll(b.pending())
	return o.report(b, built, time.Since(began))
}

// makeBaseline makes a project whose Transport is net/http's.
func (o *options) makeBaseline() {
	o.project = filepath.Join(o.work, "baseline")
	check(os.Mkdir(o.project, 0o755))
	src, err := os.ReadFile(filepath.Join(o.here, "baseline.go.txt"))
	check(err)
	check(os.WriteFile(filepath.Join(o.project, "httppipe.go"), src, 0o644))
	check(os.WriteFile(filepath.Join(o.project, "go.mod"), []byte("module "+module+"\n\ngo 1.26\n"), 0o644))
}

// readList reads a file with lines of a name, a space, and a reason.
func readList(path string) map[string]string {
	content, err := os.ReadFile(path)
	check(err)
	list := map[string]string{}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, _ := strings.Cut(line, " ")
		list[name] = strings.TrimSpace(reason)
	}
	return list
}

// check ends the program if something went wrong that is no test's fault.
func check(err error) {
	if err != nil {
		fatal("%v", err)
	}
}

func fatal(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "stdlib: "+format+"\n", args...)
	os.Exit(2)
}

// output runs a command and returns what it prints.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		fatal("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}
