package wire

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sourcesOf returns the files of a package without its tests and comments.
func sourcesOf(t *testing.T, dir string) map[string]string {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]string)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution) // no comments
		if err != nil {
			t.Fatal(err)
		}
		sources[filepath.Base(name)] = textOf(t, files, file)
	}
	return sources
}

func textOf(t *testing.T, files *token.FileSet, file *ast.File) string {
	var b strings.Builder
	if err := format.Node(&b, files, file); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// everySplit calls f with msg cut in two at each position, then octet by octet.
func everySplit(msg string, f func(reads []string)) {
	for i := range len(msg) + 1 {
		f([]string{msg[:i], msg[i:]})
	}
	f(octetByOctet(msg))
}

func octetByOctet(msg string) []string {
	octets := make([]string, len(msg))
	for i := range octets {
		octets[i] = msg[i : i+1]
	}
	return octets
}

// kindOf names the type of an error, which is what callers decide by.
func kindOf(err error) string {
	if err == nil {
		return "none"
	}
	return reflect.TypeOf(err).String()
}

// wantError fails unless err has the type that kind names, and says text.
func wantError(t *testing.T, err error, kind, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s with %q", kind, text)
	}
	if kindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Fatalf("error is %s: %v\nwant %s with %q", kindOf(err), err, kind, text)
	}
}
