package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// Over TCP too, everything ends with CloseIdleConnections and the calls.
func TestNothingIsLeftOverTCP(t *testing.T) {
	defer pipetest.VerifyNoLeaks(t)
	_, serverTLS := pipetest.TLSConfigs()
	for scheme, server := range map[string]*pipetest.Server{"http": {}, "https": {TLS: serverTLS}} {
		t.Run(scheme, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			server.Start(t, ln)
			var open atomic.Int64
			tr := piped()(func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					open.Add(1)
					c = openCounter{c, sync.OnceFunc(func() { open.Add(-1) })}
				}
				return c, err
			}).(*httppipe.Transport)
			var group sync.WaitGroup
			for i := range 20 {
				group.Go(func() {
					for j := range 20 {
						ctx, cancel := context.WithCancel(context.Background())
						req, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s://%s/%d/%d?n=20000", scheme, ln.Addr(), i, j), nil)
						if j%5 == 1 {
							cancel()
						}
						resp, err := tr.RoundTrip(req)
						if err == nil && j%5 == 2 {
							io.CopyN(io.Discard, resp.Body, 100)
							resp.Body.Close()
						} else if err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
						cancel()
					}
				})
			}
			group.Wait()
			tr.CloseIdleConnections()
			require.Eventually(t, func() bool { return open.Load() == 0 && tr.Stats().Conns == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

type openCounter struct {
	net.Conn
	closed func()
}

func (c openCounter) Close() error {
	c.closed()
	return c.Conn.Close()
}

// An idle connection that the server closes is noticed without another request.
func TestIdleConnectionClosedByServerIsNoticed(t *testing.T) {
	for _, opts := range [][]pipetest.Option{nil, {pipetest.TLS()}} {
		for name, end := range map[string]func(*pipetest.Conn){
			"EOF": (*pipetest.Conn).CloseWrite, "close": (*pipetest.Conn).Close, "RST": (*pipetest.Conn).Reset,
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					origin, client := pipetest.New(t, piped(oneConn()), opts...)
					conn := proven(origin, client)
					end(conn)
					time.Sleep(3 * time.Second)
					synctest.Wait()
					require.Empty(t, origin.Network.Open())
					require.Zero(t, client.Transport().(*httppipe.Transport).Stats().Conns)
				})
			})
		}
	}
}

func TestIdleConnTimeout(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		time.Sleep(59 * time.Second)
		conn.WantOpen()
		a := client.Get("/a")
		conn.Send(okay("a"))
		a.WantContent("a")
		time.Sleep(59 * time.Second)
		conn.WantOpen() // it was used meanwhile
		time.Sleep(2 * time.Second)
		conn.WantClosed()
	}, oneConn(), func(tr *httppipe.Transport) { tr.IdleConnTimeout = time.Minute })
}

func TestIdleLimits(t *testing.T) {
	for _, test := range []struct{ perHost, all, want int }{
		{0, 0, http.DefaultMaxIdleConnsPerHost}, {5, 0, 5}, {10, 3, 3}, {-1, 0, 0},
	} {
		inWorld(t, &pipetest.Server{}, func(w *world) {
			var group sync.WaitGroup
			for range 10 {
				group.Go(func() { w.fetch(context.Background(), "POST", "/", "x") })
			}
			group.Wait()
			synctest.Wait()
			require.Len(w.t, w.net.Open(), test.want)
		}, func(tr *httppipe.Transport) { tr.MaxIdleConnsPerHost, tr.MaxIdleConns = test.perHost, test.all })
	}
}

// CloseIdleConnections also closes what becomes idle until the next request.
func TestCloseIdleConnectionsWhileInUse(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		a, b := client.Post("/a", "x"), client.Post("/b", "x")
		c := client.Post("/c", "x")
		origin.Conn(2).Send(okay("c"))
		c.WantContent("c")
		client.Transport().(*httppipe.Transport).CloseIdleConnections()
		origin.Conn(2).WantClosed()
		origin.WantOpen(2)
		for i, call := range []*pipetest.Call{a, b} { // the end of one must not save the next
			origin.Conn(i).Send(okay("x"))
			call.WantContent("x")
			origin.Conn(i).WantClosed()
		}
	})
}

// A crawler visits many origins once. What is remembered of them is bounded.
func TestManyOriginsVisitedOnce(t *testing.T) {
	const origins = 20_000
	tr := piped()(func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }).(*httppipe.Transport)
	visit := func(from, to int) {
		for i := from; i < to; i++ {
			req, _ := http.NewRequest("GET", fmt.Sprintf("http://origin%d.test/", i), nil)
			_, err := tr.RoundTrip(req)
			require.ErrorIs(t, err, errRefused)
		}
	}
	visit(0, origins/2)
	before := heapInUse()
	visit(origins/2, origins)
	grown := heapInUse() - before
	runtime.KeepAlive(tr)
	require.Less(t, grown, int64(origins/2*200), "octets: one that is remembered takes several hundred")
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Request bodies are closed once, whatever becomes of the request.
func TestRequestBodyIsClosedOnce(t *testing.T) {
	answers := map[string]pipetest.Answer{
		"/ok":    {},
		"/early": {Early: true, Status: 413},
		"/last":  {Early: true, Status: 413, Close: true},
		"/slow":  {Delay: time.Minute},
	}
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer { return answers[x.Request.URL.Path] }}
	for path := range answers {
		for name, content := range map[string]string{"small": "x", "large": strings.Repeat("x", 300_000)} {
			t.Run(path[1:]+" "+name, func(t *testing.T) {
				inWorld(t, server, func(w *world) {
					body := &closesOf{Reader: strings.NewReader(content)}
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, "POST", worldURL+path, body)
					require.NoError(w.t, err)
					resp, err := w.rt.RoundTrip(req)
					if err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					time.Sleep(time.Second) // an upload that is answered early may go on for a moment
					synctest.Wait()
					require.EqualValues(w.t, 1, body.closed.Load())
				})
			})
		}
	}
	for name, spoil := range map[string]func(*http.Request){
		"invalid field": func(r *http.Request) { r.Header["X"] = []string{"\n"} },
		"no host":       func(r *http.Request) { r.URL.Host = "" },
		"refused":       func(r *http.Request) { r.URL.Host = "nowhere.test" },
		"wrong length":  func(r *http.Request) { r.ContentLength = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, server, func(w *world) {
				body := &closesOf{Reader: strings.NewReader("x")}
				req, err := http.NewRequest("POST", worldURL+"/ok", body)
				require.NoError(w.t, err)
				spoil(req)
				_, err = w.rt.RoundTrip(req)
				require.Error(w.t, err)
				synctest.Wait()
				require.EqualValues(w.t, 1, body.closed.Load())
			})
		})
	}
}

type closesOf struct {
	io.Reader
	closed atomic.Int64
}

func (b *closesOf) Close() error {
	b.closed.Add(1)
	return nil
}
