package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A test is one of net/http's test functions.
type test struct {
	name, file string
	unit       *unit
	status     string // PASS, FAIL, SKIP, DROPPED, FLAKY or INTERNAL; "" before it has run
	kind       string // of failure: leak, timeout, panic, race, build, fail and others
	reason     string
	seconds    float64
}

// A builder makes a test binary of net/http's tests and the project.
type builder struct {
	*options
	gen      *gen
	tests    []*test
	excluded []string // what does not count, with the reasons
	helper   string   // source of the support code
}

func (b *builder) binary() string { return filepath.Join(b.work, "http.test") }
func (b *builder) module() string { return filepath.Join(b.work, "m") }

// newBuild loads the tests and chooses among them.
func (o *options) newBuild() *builder {
	tp, err := loadTests(output("go", "env", "GOROOT"))
	check(err)
	if len(tp.errs) > 0 {
		fmt.Fprintf(os.Stderr, "stdlib: note: %d type errors in GOROOT's tests, first: %v\n", len(tp.errs), tp.errs[0])
	}
	source, err := os.ReadFile(filepath.Join(o.here, "harness.go.txt"))
	check(err)
	b := &builder{options: o, gen: &gen{tp: tp, helperFuncs: map[string]bool{}}}
	b.helper = strings.ReplaceAll(string(source), "@MODULE@", module)
	for _, m := range regexp.MustCompile(`(?m)^func (\w+)`).FindAllStringSubmatch(b.helper, -1) {
		b.gen.helperFuncs[m[1]] = true
	}
	hasDefault, hasClientConn := projectExports(o.project)
	b.gen.hasClientConn = hasClientConn
	if hasDefault {
		b.helper = strings.ReplaceAll(b.helper, "//@DEFAULT@", "")
	}
	if hasClientConn {
		b.helper = strings.ReplaceAll(b.helper, "//@CLIENTCONN@", "")
	}
	b.gen.build()
	for name := range b.gen.helperFuncs { // the support code declares these itself
		delete(b.gen.byName, name)
	}
	b.choose()
	return b
}

// wants reports whether the flags ask for a test.
func (o *options) wants(name string) bool {
	return (o.only == nil || o.only.MatchString(name)) && (o.skip == nil || !o.skip.MatchString(name))
}

// choose decides which tests are run.
func (b *builder) choose() {
	excluded := readList(filepath.Join(b.here, "excluded.txt"))
	for file := range strings.SplitSeq(b.files, ",") {
		for _, u := range b.gen.units {
			name, ok := u.isTest()
			if !ok || u.file.name != file || !b.wants(name) {
				continue
			}
			reason, out := excluded[name]
			if !out && !b.gen.involvesClient(b.gen.closure(u)) {
				reason, out = "never involves a client transport", true
			}
			if out {
				b.excluded = append(b.excluded, name+"\t"+file+"\t"+reason)
				continue
			}
			b.tests = append(b.tests, &test{name: name, file: file, unit: u})
		}
	}
	b.countInternal()
	for _, u := range b.gen.units { // what cannot be had from outside
		if _, problem := b.gen.unitEdits(u); problem != "" {
			u.bad = problem
		}
	}
}

// countInternal counts net/http's in-package tests of the Transport, which cannot
// be run.
func (b *builder) countInternal() {
	for _, f := range b.gen.tp.inFiles {
		if f.name != "transport_internal_test.go" {
			continue
		}
		for _, d := range f.ast.Decls {
			fd, ok := d.(*ast.FuncDecl)
			if ok && fd.Recv == nil && strings.HasPrefix(fd.Name.Name, "Test") && b.wants(fd.Name.Name) {
				b.tests = append(b.tests, &test{
					name: fd.Name.Name, file: f.name, status: "DROPPED",
					reason: "in-package test of unexported types",
				})
			}
		}
	}
}

// pending returns the tests that can be run.
func (b *builder) pending() (tests []*test) {
	for _, t := range b.tests {
		if t.status == "" {
			tests = append(tests, t)
		}
	}
	return tests
}

// maxBuilds bounds how often what does not compile is left out.
const maxBuilds = 10

// build makes the binary. Tests that do not compile against the project fail, and
// are left out.
func (b *builder) build() {
	b.writeModule()
	for round := range maxBuilds {
		keep := b.keep()
		applied := patches()
		b.gen.aliases = map[string]types.Object{}
		check(b.gen.emit(b.module(), keep, applied))
		b.writeOverlay()
		errs, raw, err := b.compile()
		if err == nil {
			return
		}
		check(os.WriteFile(filepath.Join(b.out, fmt.Sprintf("build-%d.txt", round)), raw, 0o644))
		if b.blame(errs, keep) == 0 || len(b.pending()) == 0 {
			os.Stderr.Write(raw)
			break
		}
	}
	fmt.Println("stdlib: BUILD FAILED")
	os.Exit(2)
}

// keep returns the declarations that the tests need, and decides about tests that
// need one which cannot be built.
func (b *builder) keep() map[*unit]bool {
	keep := map[*unit]bool{}
	for _, t := range b.pending() {
		closure := b.gen.closure(t.unit)
		for u := range closure {
			if u.badAPI != "" {
				t.status, t.kind = "FAIL", "build"
				t.reason = "does not build against the project: " + u.badAPI
			} else if u.bad != "" && t.status == "" {
				t.status, t.reason = "DROPPED", u.bad
			}
		}
		if t.status != "" {
			continue
		}
		for u := range closure {
			keep[u] = true
		}
	}
	for _, root := range []string{"TestMain", "newClientServerTest", "run", "afterTest"} {
		for u := range b.gen.closure(b.gen.byName[root]) {
			keep[u] = true
		}
	}
	return keep
}

// blame marks the declarations in which errors are, and returns how many there are.
func (b *builder) blame(errs []buildError, keep map[*unit]bool) (n int) {
	for _, e := range errs {
		for _, u := range b.gen.units {
			if u.file.name != e.file || !keep[u] || u.badAPI != "" {
				continue
			}
			first, last := u.file.tf.Line(u.whole.Pos()), u.file.tf.Line(u.whole.End())
			if first <= e.line && e.line <= last {
				u.badAPI = e.text
				n++
			}
		}
	}
	return n
}

// projectExports reports whether the project has a DefaultTransport and a
// ClientConn of its own.
func projectExports(dir string) (def, clientConn bool) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	check(err)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		check(err)
		for _, d := range f.Decls {
			for _, spec := range specsOf(d) {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						def = def || n.Name == "DefaultTransport"
					}
				case *ast.TypeSpec:
					clientConn = clientConn || s.Name.Name == "ClientConn"
				}
			}
		}
	}
	return def, clientConn
}

// writeModule writes the module that the tests are in.
func (b *builder) writeModule() {
	project, err := filepath.Abs(b.project)
	check(err)
	write := func(name, content string) {
		check(os.WriteFile(filepath.Join(b.module(), name), []byte(content), 0o644))
	}
	write("go.mod", fmt.Sprintf("module stdlibconformance\n\ngo 1.26\n\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, project))
	if sums, err := os.ReadFile(filepath.Join(project, "go.sum")); err == nil {
		write("go.sum", string(sums))
	}
	write("harness_test.go", b.helper)
	write("doc.go", "// Package http is empty.\npackage http\n")
}

// writeOverlay adds to net/http, for this build only, its own export_test.go and
// aliases of the internal things that the tests use.
func (b *builder) writeOverlay() {
	dir := filepath.Join(b.work, "overlay")
	for _, f := range b.gen.tp.inFiles {
		if f.name == "export_test.go" {
			check(os.WriteFile(filepath.Join(dir, "export.go"), f.src, 0o644))
		}
	}
	check(os.WriteFile(filepath.Join(dir, "internal.go"), []byte(b.gen.overlayAliases()), 0o644))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(b.gen.tp.srcDir, "zz_conformance_export.go"):   filepath.Join(dir, "export.go"),
		filepath.Join(b.gen.tp.srcDir, "zz_conformance_internal.go"): filepath.Join(dir, "internal.go"),
	}})
	check(err)
	check(os.WriteFile(filepath.Join(b.work, "overlay.json"), overlay, 0o644))
}

// A buildError is one message of the compiler.
type buildError struct {
	file string
	line int
	text string
}

var buildErrors = regexp.MustCompile(`(?m)^(?:\./)?(\w+_test\.go):(\d+):\d+: (.*)$`)

func (b *builder) compile() (errs []buildError, raw []byte, err error) {
	args := []string{
		"test", "-c", "-vet=off", "-mod=mod", "-gcflags=-e",
		"-overlay", filepath.Join(b.work, "overlay.json"), "-o", b.binary(),
	}
	if b.race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = b.module()
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOTOOLCHAIN=local")
	raw, err = cmd.CombinedOutput()
	for _, m := range buildErrors.FindAllSubmatch(raw, -1) {
		line, _ := strconv.Atoi(string(m[2]))
		errs = append(errs, buildError{string(m[1]), line, string(m[3])})
	}
	return errs, raw, err
}
