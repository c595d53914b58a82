package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report prints a line for each test that did not pass, one for each file, and the
// sum of it all. It returns how many tests have each status.
func (o *options) report(b *builder, built, total time.Duration) map[string]int {
	o.writeResults(b)
	for _, status := range []string{"FLAKY", "INTERNAL", "FAIL"} {
		for _, t := range b.tests {
			if t.status != status {
				continue
			}
			kind := ""
			if t.kind != "fail" && t.kind != "" {
				kind = "[" + t.kind + "] "
			}
			fmt.Printf("%s %s (%.1fs) %s%s\n", t.status, t.name, t.seconds, kind, t.reason)
		}
	}
	all, files := counts(b.tests)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		c := files[file]
		fmt.Printf("%-28s pass %3d  fail %3d  internal %d  flaky %d  skip %2d  dropped %2d\n",
			file, c["PASS"], c["FAIL"], c["INTERNAL"], c["FLAKY"], c["SKIP"], c["DROPPED"])
	}
	details := "details in " + o.out
	if o.disposable(all) {
		details = "-out FOLDER keeps the details"
	}
	fmt.Printf("not counted (no client transport involved): %d; %s; build %.0fs, total %.0fs\n",
		len(b.excluded), details, built.Seconds(), total.Seconds())
	if all["INTERNAL"]+all["DROPPED"] > 0 {
		fmt.Println("INTERNAL and DROPPED are explained in internal/conformance/DIFFERENCES.md")
	}
	fmt.Printf("stdlib: PASS %d FAIL %d SKIP %d DROPPED %d INTERNAL %d FLAKY %d (of %d)\n",
		all["PASS"], all["FAIL"], all["SKIP"], all["DROPPED"], all["INTERNAL"], all["FLAKY"], len(b.tests))
	return all
}

// counts counts tests by status, in all and by file.
func counts(tests []*test) (all map[string]int, files map[string]map[string]int) {
	all, files = map[string]int{}, map[string]map[string]int{}
	for _, t := range tests {
		all[t.status]++
		if files[t.file] == nil {
			files[t.file] = map[string]int{}
		}
		files[t.file][t.status]++
	}
	return all, files
}

// writeResults writes a line for each test, and one for each that does not count.
func (o *options) writeResults(b *builder) {
	var results strings.Builder
	for _, t := range b.tests {
		fmt.Fprintf(&results, "%s\t%s\t%s\t%.2f\t%s\t%s\n", t.status, t.name, t.file, t.seconds, t.kind,
			strings.ReplaceAll(t.reason, "\n", " "))
	}
	write := func(name, content string) {
		check(os.WriteFile(filepath.Join(o.out, name), []byte(content), 0o644))
	}
	write("results.tsv", results.String())
	write("excluded.txt", strings.Join(b.excluded, "\n")+"\n")
}
