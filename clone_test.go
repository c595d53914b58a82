package httppipe

import (
	"context"
	"crypto/tls"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// filled returns a T with every exported field set to something that is not its
// zero value, so that a field that a copy forgets shows.
func filled[T any](t *testing.T) *T {
	p := new(T)
	v := reflect.ValueOf(p).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.IsExported() {
			continue
		}
		field := v.FieldByIndex(f.Index)
		switch f.Type.Kind() {
		case reflect.Func:
			field.Set(reflect.MakeFunc(f.Type, func([]reflect.Value) []reflect.Value { panic("called") }))
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int, reflect.Int64:
			field.SetInt(7)
		case reflect.Map:
			field.Set(reflect.MakeMap(f.Type))
			field.SetMapIndex(reflect.ValueOf("X"), reflect.Zero(f.Type.Elem()))
		case reflect.Pointer:
			field.Set(reflect.New(f.Type.Elem()))
		default:
			t.Fatalf("fill in %s: %v", f.Name, f.Type)
		}
	}
	return p
}

// requireFields requires that the exported fields of got that want has too have
// want's values, in memory of their own.
func requireFields(t *testing.T, got, want any) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for _, f := range reflect.VisibleFields(w.Type()) {
		if !f.IsExported() {
			continue
		}
		gf, wf := g.FieldByName(f.Name), w.FieldByName(f.Name)
		switch f.Type.Kind() {
		case reflect.Func:
			require.Equal(t, wf.UnsafePointer(), gf.UnsafePointer(), f.Name)
		case reflect.Map, reflect.Pointer:
			require.False(t, gf.IsNil(), "%s is nil", f.Name)
			require.NotEqual(t, wf.UnsafePointer(), gf.UnsafePointer(), "%s is shared", f.Name)
		default:
			require.Equal(t, wf.Interface(), gf.Interface(), f.Name)
		}
	}
}

func TestCloneCopiesEveryField(t *testing.T) {
	src := filled[Transport](t)
	src.HTTP2.MaxReadFrameSize = 1 << 20
	src.Protocols.SetHTTP2(true)
	src.TLSClientConfig.ServerName = "name"
	c := src.Clone()
	requireFields(t, c, src)
	require.Equal(t, src.HTTP2, c.HTTP2)
	require.Equal(t, src.Protocols, c.Protocols)
	require.Equal(t, "name", c.TLSClientConfig.ServerName)
	require.Contains(t, c.TLSNextProto, "X")
	require.Contains(t, c.ProxyConnectHeader, "X")
}

func TestCloneKeepsTheDifferenceBetweenNilAndEmptyTLSNextProto(t *testing.T) {
	require.Nil(t, new(Transport).Clone().TLSNextProto)
	off := &Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	require.NotNil(t, off.Clone().TLSNextProto)
}

func TestCloneDoesNotShareRegisteredProtocols(t *testing.T) {
	src := new(Transport)
	src.RegisterProtocol("foo", http.NewFileTransport(nil))
	src.Clone().RegisterProtocol("foo", http.NewFileTransport(nil))
}

func TestFromHTTPCopiesEveryField(t *testing.T) {
	src := filled[http.Transport](t)
	requireFields(t, FromHTTP(src), src)
}

func TestFromHTTPOfNil(t *testing.T) {
	requireSameHTTP2(t, FromHTTP(nil), new(http.Transport))
}

// net/http changes a Transport's TLSClientConfig when it is first used, and by
// that the copy of a copy of a zero Transport loses HTTP/2. Ours must not.
func TestFromHTTPKeepsHTTP2(t *testing.T) {
	used := new(http.Transport)
	used.CloseIdleConnections() // the first use
	speaks := func(tr *Transport) bool { return offers(tr, "h2") && tr.http2().builtin }
	require.True(t, speaks(FromHTTP(used)), "of a used zero Transport")
	require.True(t, speaks(FromHTTP(used).Clone()), "of a clone")
	require.True(t, speaks(FromHTTP(http.DefaultTransport.(*http.Transport))), "of the default")

	custom := &http.Transport{TLSClientConfig: new(tls.Config)}
	custom.CloseIdleConnections()
	require.False(t, offers(FromHTTP(custom), "h2"), "of one with a TLSClientConfig")
	disabled := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	require.False(t, offers(FromHTTP(disabled), "h2"), "of one with an empty TLSNextProto")
}

// offers reports whether t offers proto to an https origin.
func offers(t *Transport, proto string) bool {
	return slices.Contains(t.tlsConfigFor(route{}, "example.com").NextProtos, proto)
}

// requireSameHTTP2 requires that ours offers what theirs does.
func requireSameHTTP2(t *testing.T, ours *Transport, theirs *http.Transport) {
	t.Helper()
	var want []string
	theirs.CloseIdleConnections() // makes net/http decide
	if theirs.TLSClientConfig != nil {
		want = theirs.TLSClientConfig.NextProtos
	}
	got := ours.tlsConfigFor(route{}, "example.com").NextProtos
	require.Equal(t, append([]string{}, want...), append([]string{}, got...))
}

func TestTransportDoesNotChangeItsFields(t *testing.T) {
	cfg := &tls.Config{NextProtos: []string{"foo"}}
	tr := &Transport{
		TLSClientConfig:     cfg,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: time.Second,
		ProxyConnectHeader:  http.Header{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tr.dialRoute(ctx, route{scheme: "https", addr: "127.0.0.1:1"}, func() {})
	require.Error(t, err)
	require.True(t, offers(tr, "h2"))
	require.Equal(t, []string{"foo"}, cfg.NextProtos)
	require.Nil(t, tr.TLSNextProto)
}
