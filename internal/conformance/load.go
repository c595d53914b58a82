package main

// Type-checks net/http's external test package from GOROOT source, with
// net/http augmented by its own in-package test files (export_test.go), so
// that every identifier in the tests can be resolved exactly.

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
)

// A srcImporter type-checks packages from GOROOT's source.
type srcImporter struct {
	ctx    build.Context
	fset   *token.FileSet
	goroot string
	pkgs   map[string]*types.Package
}

func (im *srcImporter) dir(path string) string {
	d := filepath.Join(im.goroot, "src", filepath.FromSlash(path))
	if st, err := os.Stat(d); err == nil && st.IsDir() {
		return d
	}
	return filepath.Join(im.goroot, "src", "vendor", filepath.FromSlash(path))
}

func (im *srcImporter) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if p := im.pkgs[path]; p != nil {
		return p, nil
	}
	dir := im.dir(path)
	bp, err := im.ctx.ImportDir(dir, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	names := append([]string(nil), bp.GoFiles...)
	if path == "net/http" {
		names = append(names, bp.TestGoFiles...)
	}
	var files []*ast.File
	for _, n := range names {
		f, err := parser.ParseFile(im.fset, filepath.Join(dir, n), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	conf := types.Config{
		Importer:         im,
		IgnoreFuncBodies: true,
		FakeImportC:      true,
		Error:            func(error) {}, // tolerate
		Sizes:            types.SizesFor("gc", im.ctx.GOARCH),
	}
	p, _ := conf.Check(path, im.fset, files, nil)
	if p == nil {
		return nil, fmt.Errorf("%s: type check gave nothing", path)
	}
	im.pkgs[path] = p
	return p, nil
}

// A testFile is a file of tests.
type testFile struct {
	name string // base name
	src  []byte
	ast  *ast.File
	tf   *token.File
}

// A testPkg is net/http's external test package, type-checked.
type testPkg struct {
	fset    *token.FileSet
	files   []*testFile
	info    *types.Info
	pkg     *types.Package
	http    *types.Package
	errs    []error
	srcDir  string
	inPkg   []string // names of in-package (package http) test files
	inFiles []*testFile
}

// loadTests loads net/http's tests from GOROOT.
func loadTests(goroot string) (*testPkg, error) {
	ctx := build.Default
	ctx.CgoEnabled = false
	ctx.GOROOT = goroot
	fset := token.NewFileSet()
	im := &srcImporter{ctx: ctx, fset: fset, goroot: goroot, pkgs: map[string]*types.Package{}}
	tp := &testPkg{fset: fset, srcDir: filepath.Join(goroot, "src", "net", "http")}
	bp, err := ctx.ImportDir(tp.srcDir, 0)
	if err != nil {
		return nil, err
	}
	tp.inPkg = bp.TestGoFiles
	var asts []*ast.File
	for _, n := range bp.XTestGoFiles {
		path := filepath.Join(tp.srcDir, n)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		asts = append(asts, f)
		tp.files = append(tp.files, &testFile{name: n, src: src, ast: f, tf: fset.File(f.Pos())})
	}
	for _, n := range bp.TestGoFiles {
		path := filepath.Join(tp.srcDir, n)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		tp.inFiles = append(tp.inFiles, &testFile{name: n, src: src, ast: f})
	}
	tp.info = &types.Info{
		Uses:       map[*ast.Ident]types.Object{},
		Defs:       map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
		Types:      map[ast.Expr]types.TypeAndValue{},
		Implicits:  map[ast.Node]types.Object{},
	}
	conf := types.Config{
		Importer: im,
		Error:    func(e error) { tp.errs = append(tp.errs, e) },
		Sizes:    types.SizesFor("gc", ctx.GOARCH),
	}
	tp.pkg, _ = conf.Check("net/http_test", fset, asts, tp.info)
	tp.http, err = im.Import("net/http")
	return tp, err
}

// isInternalPath reports whether an outside module cannot import path.
func isInternalPath(path string) bool {
	return strings.HasPrefix(path, "internal/") || strings.Contains(path, "/internal/") ||
		strings.HasSuffix(path, "/internal") || strings.HasPrefix(path, "golang.org/x/") || strings.HasPrefix(path, "vendor/")
}
