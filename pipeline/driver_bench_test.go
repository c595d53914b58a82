package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/wire"
)

// cannedAnswer is what cannedServer answers everything with.
var cannedAnswer = []byte("HTTP/1.1 200 OK\r\nServer: canned\r\nContent-Type: application/octet-stream\r\n" +
	"Content-Length: 128\r\nETag: \"67c6d1f1\"\r\n\r\n" + string(bytes.Repeat([]byte("0123456789abcdef"), 8)))

// cannedServer answers all requests of one read with one write.
func cannedServer(t testing.TB) net.Addr {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go serveCanned(nc)
		}
	}()
	return ln.Addr()
}

func serveCanned(nc net.Conn) {
	defer nc.Close()
	in := make([]byte, 64<<10)
	var out []byte
	kept := 0
	for {
		n, err := nc.Read(in[kept:])
		if err != nil {
			return
		}
		b := in[:kept+n]
		out = out[:0]
		for {
			i := bytes.Index(b, []byte("\r\n\r\n"))
			if i < 0 {
				break
			}
			b = b[i+4:]
			out = append(out, cannedAnswer...)
		}
		kept = copy(in, b)
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

var benchmarkHeader = http.Header{"User-Agent": {"benchmark"}, "Accept": {"*/*"}}

// A benchCaller makes calls one after the other.
type benchCaller struct {
	d    *Driver
	wake chan struct{}
	call *Call // used again; nil for a new one each time
}

func (b *benchCaller) get(ctx context.Context) error {
	call := b.call
	if call == nil {
		call = new(Call)
	}
	call.Wake, call.Prompt = b.wake, true
	call.Request = wire.RequestHead{Method: "GET", Target: "/b/128", Host: "127.0.0.1", Header: benchmarkHeader}
	if err := b.d.Submit(call); err != nil {
		return err
	}
	if _, err := b.d.Await(ctx, call); err != nil {
		return err
	}
	content := call.Received()
	n := int64(content.Len())
	if !call.Complete() {
		n, _ = io.Copy(io.Discard, call)
	}
	if n != 128 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func newBenchDriver(t testing.TB) *Driver {
	nc, err := net.Dial("tcp", cannedServer(t).String())
	require.NoError(t, err)
	d := NewDriver(nc, nil, Hooks{})
	t.Cleanup(d.Close)
	return d
}

// runCallers divides b.N calls among goroutines.
func runCallers(b *testing.B, callers int, call func(worker int) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var left, worker atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{}, callers)
	for range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			w := int(worker.Add(1)) - 1
			for left.Add(-1) >= 0 {
				if err := call(w); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	for range callers {
		<-done
	}
}

func BenchmarkDriver(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("driver/%d", callers), func(b *testing.B) {
			d := newBenchDriver(b)
			workers := make([]benchCaller, callers)
			for i := range workers {
				workers[i] = benchCaller{d: d, wake: make(chan struct{}, 1)}
			}
			runCallers(b, callers, func(w int) error { return workers[w].get(context.Background()) })
		})
		b.Run(fmt.Sprintf("net-http/%d", callers), func(b *testing.B) {
			tr := &http.Transport{MaxIdleConnsPerHost: callers}
			b.Cleanup(tr.CloseIdleConnections)
			url := "http://" + cannedServer(b).String() + "/b/128"
			runCallers(b, callers, func(int) error {
				req, err := http.NewRequest("GET", url, nil)
				if err != nil {
					return err
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				return err
			})
		})
	}
}

// A cancellable context costs little, and Cancel not a goroutine.
func BenchmarkDriverLoneCaller(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.Run("context", func(b *testing.B) {
		caller := benchCaller{d: newBenchDriver(b), wake: make(chan struct{}, 1)}
		runCallers(b, 1, func(int) error { return caller.get(ctx) })
	})
}

// What a call costs is its Call, its content, and its head: the header map, one
// string, the values.
func TestAllocationsPerCall(t *testing.T) {
	caller := benchCaller{d: newBenchDriver(t), wake: make(chan struct{}, 1)}
	var b wire.HeadScanner
	head := testing.AllocsPerRun(200, func() { b.Parse(cannedAnswer, wire.Limits{}) })
	all := testing.AllocsPerRun(200, func() {
		if err := caller.get(context.Background()); err != nil {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, all, head+2, "%v of them for the head", head)
}
