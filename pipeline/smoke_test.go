package pipeline

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/httppipe/httppipe/wire"
)

func TestSmoke(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/up" { b, _ := io.ReadAll(r.Body); fmt.Fprint(w, len(b)); return }
		fmt.Fprint(w, r.URL.Path)
	}))
	defer srv.Close()
	for _, pump := range []bool{false, true} {
		nc, _ := net.Dial("tcp", srv.Listener.Addr().String())
		if pump { nc = struct{ net.Conn }{nc} }
		d := NewDriver(nc, nil, Hooks{})
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				for i := range 100 {
					call := &Call{Request: wire.RequestHead{Method: "GET", Target: fmt.Sprintf("/%d/%d", g, i), Host: "x"}, Wake: make(chan struct{}, 1)}
					if err := d.Submit(call); err != nil { t.Error(err); return }
					if _, err := d.Await(context.Background(), call); err != nil { t.Error(err); return }
					b, ok := call.Complete()
					if !ok { b, _ = io.ReadAll(call) }
					if string(b) != call.Request.Target { t.Errorf("%q %q", b, call.Request.Target) }
				}
			})
		}
		wg.Wait()
		call := &Call{Request: wire.RequestHead{Method: "PUT", Target: "/up", Host: "x", Framing: wire.Framing{Kind: wire.Length, Length: 3 << 20}}, Content: make([]byte, 3<<20), Wake: make(chan struct{}, 1)}
		if err := d.Submit(call); err != nil { t.Fatal(err) }
		if _, err := d.Await(context.Background(), call); err != nil { t.Fatal(err) }
		b, _ := call.Complete()
		if string(b) != fmt.Sprint(3<<20) { t.Error(string(b)) }
		d.Close()
	}
	nc, _ := net.Dial("tcp", srv.Listener.Addr().String())
	c := NewConn(nc, &Options{Host: "h"})
	var got []string
	read := func() {
		r, err := c.ReadResponse(context.Background())
		if err != nil { t.Fatal(err) }
		b, _ := io.ReadAll(c)
		got = append(got, fmt.Sprint(r.StatusCode, string(b)))
	}
	for i := range 10 {
		s := c.Send(&Request{Target: fmt.Sprint("/", i)})
		for s.Next() { read() }
		if s.Err() != nil { t.Fatal(s.Err()) }
	}
	for c.Pending() { read() }
	t.Log(got)
}
