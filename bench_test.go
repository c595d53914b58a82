package httppipe_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// cannedAnswer is what canned origins answer everything with.
var cannedAnswer = []byte("HTTP/1.1 200 OK\r\nServer: canned\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" +
	"Content-Type: application/octet-stream\r\nContent-Length: 128\r\nETag: \"67c6d1f1\"\r\nAccept-Ranges: bytes\r\n\r\n" +
	strings.Repeat("0123456789abcdef", 8))

// serveCanned answers all requests of one read with one write, until ln is closed.
// Once its connections are open it allocates nothing, so that what a test counts
// is the client's.
func serveCanned(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go answerCanned(nc)
	}
}

func answerCanned(nc net.Conn) {
	defer nc.Close()
	in, out := make([]byte, 64<<10), make([]byte, 0, 64<<10)
	for kept := 0; ; {
		n, err := nc.Read(in[kept:])
		if err != nil {
			return
		}
		b := in[:kept+n]
		out = out[:0]
		for {
			_, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
			if !ok {
				break
			}
			b = rest
			out = append(out, cannedAnswer...)
		}
		kept = copy(in, b)
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

type dialFunc = pipetest.DialFunc

// A benchNet is where a canned origin listens.
type benchNet struct {
	name string
	far  bool
	dial func(t testing.TB) dialFunc
}

var benchNets = []benchNet{
	{"memory", false, func(t testing.TB) dialFunc { return benchInMemory(t) }},
	{"2ms", true, func(t testing.TB) dialFunc {
		return benchInMemory(t, memnet.Latency(time.Millisecond))
	}},
	{"loopback", false, onLoopback},
}

func benchInMemory(t testing.TB, opts ...memnet.Option) dialFunc {
	network := memnet.New(opts...)
	ln, err := network.Listen("origin:80")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go serveCanned(ln)
	return network.DialContext
}

func onLoopback(t testing.TB) dialFunc {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go serveCanned(ln)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, ln.Addr().String())
	}
}

// A benchCaller sends the same request again and again.
type benchCaller struct {
	rt  http.RoundTripper
	req *http.Request
	buf [256]byte
}

func newBenchCaller(rt http.RoundTripper) *benchCaller {
	u := &url.URL{Scheme: "http", Host: "origin:80", Path: "/b/128"}
	header := http.Header{"User-Agent": {"benchmark"}, "Accept": {"*/*"}}
	return &benchCaller{rt: rt, req: &http.Request{Method: "GET", URL: u, Host: u.Host, Header: header}}
}

func (c *benchCaller) get() error {
	resp, err := c.rt.RoundTrip(c.req)
	if err != nil {
		return err
	}
	n, err := io.ReadFull(resp.Body, c.buf[:])
	resp.Body.Close()
	if n != 128 || err != io.ErrUnexpectedEOF {
		return fmt.Errorf("%d octets of content, want 128: %w", n, err)
	}
	return nil
}

// callAll has callers send n requests altogether.
func callAll(t testing.TB, callers []*benchCaller, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for _, c := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := c.get(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func benchCallers(rt http.RoundTripper, n int) []*benchCaller {
	callers := make([]*benchCaller, n)
	for i := range callers {
		callers[i] = newBenchCaller(rt)
	}
	return callers
}

// benchTransports are compared where each may have 64 connections, and keep them.
var benchTransports = []struct {
	name string
	make func(dial dialFunc) (rt http.RoundTripper, stop func())
}{
	{"httppipe", func(dial dialFunc) (http.RoundTripper, func()) {
		tr := &httppipe.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 64}
		return tr, tr.CloseIdleConnections
	}},
	{"nethttp", func(dial dialFunc) (http.RoundTripper, func()) {
		tr := &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 64}
		return tr, tr.CloseIdleConnections
	}},
}

// BenchmarkRoundTrip includes the origin, which is in the same process: look at
// allocations and at profiles. bench/ compares times.
func BenchmarkRoundTrip(b *testing.B) {
	for _, network := range benchNets {
		for _, transport := range benchTransports {
			for _, callers := range []int{1, 16, 64, 256} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", network.name, transport.name, callers), func(b *testing.B) {
					rt, stop := transport.make(network.dial(b))
					defer stop()
					all := benchCallers(rt, callers)
					callAll(b, all, 10*callers) // connections are open and proved
					b.ReportAllocs()
					b.ResetTimer()
					callAll(b, all, b.N)
				})
			}
		}
	}
}
