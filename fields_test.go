package httppipe

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"reflect"
	"testing"
)

// The promise of a drop-in: whatever can be set on an http.Transport can be set
// on ours, and code that calls its methods compiles.

func TestTransportHasTheFieldsOfHTTPTransport(t *testing.T) {
	ours := reflect.TypeFor[Transport]()
	for _, want := range reflect.VisibleFields(reflect.TypeFor[http.Transport]()) {
		if !want.IsExported() {
			continue
		}
		got, ok := ours.FieldByName(want.Name)
		if !ok {
			t.Errorf("no field %s", want.Name)
		} else if got.Type != want.Type {
			t.Errorf("%s has type %v, want %v", want.Name, got.Type, want.Type)
		}
	}
}

func TestTransportHasTheMethodsOfHTTPTransport(t *testing.T) {
	compareMethods(t, reflect.TypeFor[*Transport](), reflect.TypeFor[*http.Transport]())
}

// compareMethods reports the methods of want that got lacks. Where a signature
// mentions a type that we replace, ours stands in its place, and must in turn
// have the methods of the original.
func compareMethods(t *testing.T, got, want reflect.Type) {
	t.Helper()
	for i := range want.NumMethod() {
		m := want.Method(i)
		own, ok := got.MethodByName(m.Name)
		if !ok {
			t.Errorf("%v has no method %s", got, m.Name)
			continue
		}
		compareSignatures(t, got, own.Type, want, m.Type, m.Name)
	}
}

func compareSignatures(t *testing.T, gotRecv, got, wantRecv, want reflect.Type, name string) {
	t.Helper()
	if got.NumIn() != want.NumIn() || got.NumOut() != want.NumOut() {
		t.Errorf("%v.%s is %v, want %v", gotRecv, name, got, want)
		return
	}
	same := func(g, w reflect.Type) {
		switch {
		case g == w, g == gotRecv && w == wantRecv:
		case w == reflect.TypeFor[*http.ClientConn]() && gotRecv != g:
			compareMethods(t, g, w)
		case w.Kind() == reflect.Func && g.Kind() == reflect.Func: // a callback, as in SetStateHook
			compareSignatures(t, gotRecv, g, wantRecv, w, name)
		default:
			t.Errorf("%v.%s has %v where %v is wanted", gotRecv, name, g, w)
		}
	}
	for i := range want.NumIn() {
		same(got.In(i), want.In(i))
	}
	for i := range want.NumOut() {
		same(got.Out(i), want.Out(i))
	}
}

func TestDefaultTransportHasTheSettingsOfHTTPDefaultTransport(t *testing.T) {
	ours := reflect.ValueOf(DefaultTransport).Elem()
	// Not the default itself: its first use would change it.
	theirs := reflect.ValueOf(http.DefaultTransport).Elem()
	for _, f := range reflect.VisibleFields(theirs.Type()) {
		if !f.IsExported() || f.Name == "TLSNextProto" || f.Name == "TLSClientConfig" {
			continue
		}
		got, want := ours.FieldByName(f.Name), theirs.FieldByName(f.Name)
		if f.Type.Kind() == reflect.Func {
			if got.IsNil() != want.IsNil() {
				t.Errorf("%s: set is %v, want %v", f.Name, !got.IsNil(), !want.IsNil())
			}
		} else if !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s = %v, want %v", f.Name, got, want)
		}
	}
	if ours.FieldByName("TLSClientConfig").IsValid() && !ours.FieldByName("TLSClientConfig").IsNil() {
		t.Error("TLSClientConfig is set")
	}
}

func TestEveryExportedFieldIsDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "transport.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Transport" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				if name.IsExported() {
					found++
					if f.Doc == nil {
						t.Errorf("%s is not documented", name)
					}
				}
			}
		}
		return false
	})
	if found < 25 {
		t.Errorf("found only %d exported fields", found)
	}
}
