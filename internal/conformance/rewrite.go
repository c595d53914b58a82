package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// The tests are rewritten by editing their text, so that line numbers in messages
// stay those of GOROOT's files.

// unit is one top-level declaration (function, method, or one spec of a
// var/type group; a whole const group).
type unit struct {
	file   *testFile
	node   ast.Node // *ast.FuncDecl, ast.Spec or *ast.GenDecl
	whole  ast.Node // what to blank when it is not kept
	names  []string
	deps   []*unit
	extern map[types.Object]bool // net/http and internal objects used
	bad    string                // why this unit cannot be built ("" if it can)
	badAPI string                // bad, because of the project's API
}

func (u *unit) isTest() (string, bool) {
	fd, ok := u.node.(*ast.FuncDecl)
	if !ok || fd.Recv != nil || !strings.HasPrefix(fd.Name.Name, "Test") || fd.Name.Name == "TestMain" {
		return "", false
	}
	return fd.Name.Name, true
}

// An edit replaces the octets from off to end of a file.
type edit struct {
	off, end int
	text     string
}

// A gen generates the test package.
type gen struct {
	tp      *testPkg
	units   []*unit
	byObj   map[types.Object]*unit
	byName  map[string]*unit
	edits   map[*testFile][]edit
	aliases map[string]types.Object // overlay alias name -> internal object
	// hasClientConn: the project exports its own ClientConn type.
	hasClientConn bool
	helperFuncs   map[string]bool // top-level functions in the helper file
}

// fileOf returns the name of the file that declares obj.
func (g *gen) fileOf(obj types.Object) string {
	return filepath.Base(g.tp.fset.Position(obj.Pos()).Filename)
}

// isHTTPTestExport reports whether obj is declared in net/http's own
// in-package test files.
func (g *gen) isHTTPTestExport(obj types.Object) bool {
	return obj != nil && obj.Pkg() != nil && obj.Pkg() == g.tp.http && strings.HasSuffix(g.fileOf(obj), "_test.go")
}

// build cuts the files into units, and finds out which of them need which.
func (g *gen) build() {
	g.byObj = map[types.Object]*unit{}
	g.byName = map[string]*unit{}
	g.edits = map[*testFile][]edit{}
	g.aliases = map[string]types.Object{}
	info := g.tp.info
	methods := map[types.Object][]*unit{}
	for _, f := range g.tp.files {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				u := &unit{file: f, node: d, whole: d, names: []string{d.Name.Name}}
				g.units = append(g.units, u)
				if d.Recv == nil {
					if obj := info.Defs[d.Name]; obj != nil && d.Name.Name != "init" {
						g.byObj[obj] = u
						g.byName[d.Name.Name] = u
					}
				} else {
					t := d.Recv.List[0].Type
					for {
						switch x := t.(type) {
						case *ast.StarExpr:
							t = x.X
							continue
						case *ast.IndexExpr:
							t = x.X
							continue
						case *ast.ParenExpr:
							t = x.X
							continue
						}
						break
					}
					id := t.(*ast.Ident)
					u.names[0] = id.Name + "." + d.Name.Name
					g.byName[u.names[0]] = u
					methods[info.Uses[id]] = append(methods[info.Uses[id]], u)
				}
			case *ast.GenDecl:
				if d.Tok == token.IMPORT {
					continue
				}
				mk := func(n, whole ast.Node, specs []ast.Spec) {
					u := &unit{file: f, node: n, whole: whole}
					for _, s := range specs {
						switch s := s.(type) {
						case *ast.ValueSpec:
							for _, id := range s.Names {
								u.names = append(u.names, id.Name)
								if o := info.Defs[id]; o != nil {
									g.byObj[o] = u
								}
							}
						case *ast.TypeSpec:
							u.names = append(u.names, s.Name.Name)
							g.byObj[info.Defs[s.Name]] = u
						}
					}
					for _, n := range u.names {
						g.byName[n] = u
					}
					g.units = append(g.units, u)
				}
				if d.Tok == token.CONST || len(d.Specs) == 1 {
					mk(d, d, d.Specs)
				} else {
					for _, s := range d.Specs {
						mk(s, s, []ast.Spec{s})
					}
				}
			}
		}
	}
	for _, u := range g.units {
		u.extern = map[types.Object]bool{}
		seen := map[*unit]bool{}
		ast.Inspect(u.node, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			obj := info.Uses[id]
			if obj == nil {
				return true
			}
			if fn, ok := obj.(*types.Func); ok && fn.Origin() != nil {
				obj = fn.Origin()
			}
			if d := g.byObj[obj]; d != nil && d != u && !seen[d] {
				seen[d] = true
				u.deps = append(u.deps, d)
			}
			if obj.Pkg() != nil && obj.Pkg() != g.tp.pkg {
				u.extern[obj] = true
			}
			return true
		})
		for _, s := range specsOf(u.node) {
			if ts, ok := s.(*ast.TypeSpec); ok {
				u.deps = append(u.deps, methods[info.Defs[ts.Name]]...)
			}
		}
	}
}

// specsOf returns what a declaration declares, other than functions.
func specsOf(n ast.Node) []ast.Spec {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Specs
	case ast.Spec:
		return []ast.Spec{n}
	}
	return nil
}

// closure returns the units and all that they need.
func (g *gen) closure(roots ...*unit) map[*unit]bool {
	seen := map[*unit]bool{}
	var walk func(u *unit)
	walk = func(u *unit) {
		if seen[u] {
			return
		}
		seen[u] = true
		for _, d := range u.deps {
			walk(d)
		}
	}
	for _, r := range roots {
		walk(r)
	}
	return seen
}

// involvesClient reports whether a test can reach a client transport at all.
func (g *gen) involvesClient(cl map[*unit]bool) bool {
	for u := range cl {
		for o := range u.extern {
			if o.Pkg() == g.tp.http {
				switch o.Name() {
				case "Transport", "DefaultTransport", "DefaultClient", "Client", "Get", "Post", "PostForm", "Head":
					if _, isVar := o.(*types.Var); isVar && o.Parent() == nil {
						continue // a field
					}
					if fn, ok := o.(*types.Func); ok && fn.Signature().Recv() != nil {
						continue
					}
					return true
				}
			}
			if o.Pkg() != nil && o.Pkg().Path() == "net/http/httptest" && o.Name() == "Client" {
				return true
			}
		}
	}
	return false
}

// unitEdits computes the rewriting of one unit and says what stands in the
// way, if anything.
func (g *gen) unitEdits(u *unit) (eds []edit, problem string) {
	info := g.tp.info
	off := func(p token.Pos) int { return u.file.tf.Offset(p) }
	done := map[*ast.Ident]bool{}
	add := func(a, b token.Pos, s string) { eds = append(eds, edit{off(a), off(b), s}) }
	isExportErr := func(e ast.Expr) bool {
		var id *ast.Ident
		switch e := e.(type) {
		case *ast.Ident:
			id = e
		case *ast.SelectorExpr:
			id = e.Sel
		default:
			return false
		}
		o := info.Uses[id]
		return g.isHTTPTestExport(o) && strings.HasPrefix(o.Name(), "ExportErr")
	}
	projType := func(o types.Object) string {
		if tn, ok := o.(*types.TypeName); ok && tn.Pkg() == g.tp.http {
			switch tn.Name() {
			case "Transport":
				return "PTransport"
			case "ClientConn":
				if g.hasClientConn {
					return "PClientConn"
				}
			}
		}
		return ""
	}
	ast.Inspect(u.node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (isExportErr(n.X) || isExportErr(n.Y)) {
				neg := ""
				if n.Op == token.NEQ {
					neg = "!"
				}
				// Keep the operands where they are: other edits may fall in them.
				add(n.Pos(), n.Pos(), neg+"pErrIs(")
				add(n.OpPos, n.OpPos+2, ",")
				add(n.End(), n.End(), ")")
			}
		case *ast.CallExpr:
			if se, ok := n.Fun.(*ast.SelectorExpr); ok {
				if o := info.Uses[se.Sel]; o != nil && o.Pkg() != nil && o.Pkg().Path() == "errors" && o.Name() == "Is" && len(n.Args) == 2 && isExportErr(n.Args[1]) {
					add(se.Pos(), se.End(), "pErrIs")
					done[se.Sel] = true
					done[se.X.(*ast.Ident)] = true
				}
			}
		case *ast.SelectorExpr:
			o := info.Uses[n.Sel]
			if o == nil || done[n.Sel] {
				break
			}
			if p := projType(o); p != "" {
				if x, ok := n.X.(*ast.Ident); ok {
					if _, ok := info.Uses[x].(*types.PkgName); ok {
						add(n.Pos(), n.End(), p)
						done[x], done[n.Sel] = true, true
						break
					}
				}
			}
			if x, ok := n.X.(*ast.Ident); ok {
				if pn, ok := info.Uses[x].(*types.PkgName); ok && isInternalPath(pn.Imported().Path()) {
					done[x], done[n.Sel] = true, true
					if pn.Imported().Path() == "internal/synctest" {
						break // its import path becomes testing/synctest
					}
					name := "Xint_" + pn.Imported().Name() + "_" + o.Name()
					g.aliases[name] = o
					add(n.Pos(), n.End(), "xhttp."+name)
					break
				}
			}
			if fn, ok := o.(*types.Func); ok && fn.Signature().Recv() != nil {
				recv := types.TypeString(fn.Signature().Recv().Type(), func(p *types.Package) string { return p.Name() })
				helper := ""
				switch {
				case recv == "*httptest.Server" && fn.Name() == "Client":
					helper = "pClient"
				case g.isHTTPTestExport(fn) && recv == "*http.Transport":
					helper = "p" + fn.Name()
					if !g.helperFuncs[helper] {
						problem = "(*Transport)." + fn.Name() + " (export_test.go) reaches into net/http's Transport"
						return true
					}
				}
				if helper != "" {
					// X.M(args) -> helper(X, args); X may hold other edits.
					add(n.Pos(), n.Pos(), helper+"(")
					lp := n.End() // the '(' of the call
					rest := string(u.file.src[off(lp):])
					if !strings.HasPrefix(rest, "(") {
						problem = "method value of " + fn.Name()
						return true
					}
					dot := off(n.X.End())
					text := ", "
					if strings.HasPrefix(strings.TrimLeft(rest[1:], " \n\t"), ")") {
						text = ""
					}
					eds = append(eds, edit{dot, off(lp) + 1, text})
					done[n.Sel] = true
				}
			}
		case *ast.Ident:
			if done[n] {
				break
			}
			o := info.Uses[n]
			if o == nil {
				break
			}
			if p := projType(o); p != "" {
				add(n.Pos(), n.End(), p)
				break
			}
			if g.isHTTPTestExport(o) {
				_, isVar := o.(*types.Var)
				if isVar && o.Parent() == nil {
					break // a field
				}
				if fn, ok := o.(*types.Func); isVar || ok && fn.Signature().Recv() == nil {
					sig := types.TypeString(o.Type(), nil)
					if g.helperFuncs["p"+o.Name()] {
						// May be written http.X: widen to the selector.
						a := n.Pos()
						if o := off(a); o > 5 && string(u.file.src[o-5:o]) == "http." {
							a -= 5
						}
						add(a, n.End(), "p"+o.Name())
					} else if strings.Contains(sig, "net/http.Transport") {
						problem = o.Name() + " (export_test.go) reaches into net/http's Transport"
					}
				}
			}
		}
		return true
	})
	return eds, problem
}

// emit writes the generated test package.
func (g *gen) emit(dir string, keep map[*unit]bool, patches []*patch) error {
	info := g.tp.info
	used := map[string]bool{}
	for _, f := range g.tp.files {
		any := false
		var eds []edit
		usedImports := map[types.Object]bool{}
		usesDot := false
		needX := false
		for _, u := range g.units {
			if u.file != f {
				continue
			}
			a, b := f.tf.Offset(u.whole.Pos()), f.tf.Offset(u.whole.End())
			if !keep[u] {
				// Blank it, keeping line numbers.
				eds = append(eds, edit{a, b, strings.Repeat("\n", bytes.Count(f.src[a:b], []byte("\n")))})
				continue
			}
			any = true
			ue, _ := g.unitEdits(u)
			cut := map[int]bool{}
			for _, e := range ue {
				if strings.Contains(e.text, "xhttp.") {
					needX = true
				}
				for i := e.off; i < e.end; i++ {
					cut[i] = true
				}
			}
			ast.Inspect(u.node, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if !ok || cut[f.tf.Offset(id.Pos())] {
					return true
				}
				o := info.Uses[id]
				if pn, ok := o.(*types.PkgName); ok {
					usedImports[pn] = true
				} else if o != nil && o.Pkg() == g.tp.http && o.Parent() == g.tp.http.Scope() {
					usesDot = true // over-approximate; checked below
				}
				return true
			})
			text := applyEdits(f.src[a:b], ue, a)
			for _, p := range patches {
				if p.file == f.name && slices.Contains(u.names, p.unit) {
					if strings.Count(text, p.old) != p.count {
						if p.count == 0 && strings.Contains(text, p.old) {
							// any number of times
						} else {
							return fmt.Errorf("patch of %s %s: %q found %d times, want %d", p.file, p.unit, p.old, strings.Count(text, p.old), p.count)
						}
					}
					text = strings.ReplaceAll(text, p.old, p.new)
					p.used = true
				}
			}
			eds = append(eds, edit{a, b, text})
		}
		if !any {
			continue
		}
		// Imports.
		for _, is := range f.ast.Imports {
			path, _ := strconv.Unquote(is.Path.Value)
			a, b := f.tf.Offset(is.Pos()), f.tf.Offset(is.End())
			var obj types.Object
			if is.Name != nil {
				obj = info.Defs[is.Name]
			} else {
				obj = info.Implicits[is]
			}
			dot := is.Name != nil && is.Name.Name == "."
			blank := is.Name != nil && is.Name.Name == "_"
			switch {
			case dot:
				if !usesDot {
					eds = append(eds, edit{a, b, ""})
				}
			case blank:
			case !usedImports[obj]:
				eds = append(eds, edit{a, b, ""})
			case path == "internal/synctest":
				has := false
				for _, o := range f.ast.Imports {
					if o.Path.Value == `"testing/synctest"` {
						has = true
					}
				}
				if has {
					return fmt.Errorf("%s imports both synctest packages", f.name)
				}
				eds = append(eds, edit{a, b, `"testing/synctest"`})
			case isInternalPath(path):
				return fmt.Errorf("%s: import %s still used", f.name, path)
			}
		}
		if needX {
			// After the package clause, on the same line: line numbers stay.
			p := f.tf.Offset(f.ast.Name.End())
			eds = append(eds, edit{p, p, `; import xhttp "net/http"`})
		}
		out := applyEdits(f.src, eds, 0)
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(out), 0o644); err != nil {
			return err
		}
		used[f.name] = true
	}
	for _, f := range g.tp.files {
		if !used[f.name] {
			os.Remove(filepath.Join(dir, f.name))
		}
	}
	return nil
}

// applyEdits returns src, which begins at offset base of its file, with the edits
// made.
func applyEdits(src []byte, eds []edit, base int) string {
	sort.SliceStable(eds, func(i, j int) bool {
		if eds[i].off != eds[j].off {
			return eds[i].off < eds[j].off
		}
		return eds[i].end < eds[j].end // insertions before replacements
	})
	var b strings.Builder
	pos := 0
	for _, e := range eds {
		if e.off-base < pos {
			panic(fmt.Sprintf("overlapping edit at %d: %q", e.off, e.text))
		}
		b.Write(src[pos : e.off-base])
		b.WriteString(e.text)
		pos = e.end - base
	}
	b.Write(src[pos:])
	return b.String()
}

// overlayAliases is the source of the file added to net/http (through
// -overlay) which re-exports what the tests use of internal packages.
func (g *gen) overlayAliases() string {
	imports := map[string]string{}
	var body []string
	names := make([]string, 0, len(g.aliases))
	for n := range g.aliases {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		o := g.aliases[n]
		imports[o.Pkg().Path()] = o.Pkg().Name()
		ref := o.Pkg().Name() + "x." + o.Name()
		switch o.(type) {
		case *types.TypeName:
			body = append(body, "type "+n+" = "+ref)
		case *types.Const:
			body = append(body, "const "+n+" = "+ref)
		default:
			body = append(body, "var "+n+" = "+ref)
		}
	}
	var b strings.Builder
	b.WriteString("package http\n\n")
	var ps []string
	for p := range imports {
		ps = append(ps, p)
	}
	sort.Strings(ps)
	for _, p := range ps {
		fmt.Fprintf(&b, "import %sx %q\n", imports[p], strings.TrimPrefix(p, "vendor/"))
	}
	b.WriteString("\n" + strings.Join(body, "\n") + "\n")
	return b.String()
}
