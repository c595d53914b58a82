package wire

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestImports keeps waiting, locking and sockets out of this package.
func TestImports(t *testing.T) {
	forbidden := []string{"context", "net", "os", "sync", "time", "io", "bufio", "unsafe"}
	paths := importsOf(t, ".")
	if !slices.Contains(paths, "net/http") {
		t.Fatalf("found imports %q: the test looks in the wrong place", paths)
	}
	for _, path := range paths {
		if slices.Contains(forbidden, path) {
			t.Errorf("wire imports %q", path)
		}
	}
}

// TestNetHTTPOnlyForHeader lets this package name http.Header and nothing else
// of net/http.
func TestNetHTTPOnlyForHeader(t *testing.T) {
	for name, src := range sourcesOf(t, ".") {
		for _, use := range strings.Split(src, "http.")[1:] {
			if !strings.HasPrefix(use, "Header") {
				line, _, _ := strings.Cut(use, "\n")
				t.Errorf("%s uses http.%s", name, line)
			}
		}
	}
}

func importsOf(t *testing.T, dir string) (paths []string) {
	for name := range sourcesOf(t, dir) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			paths = append(paths, path)
		}
	}
	return paths
}
