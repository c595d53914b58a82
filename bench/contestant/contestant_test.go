package contestant

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/httppipe/httppipe/bench/internal/origin"
)

// The origins end with the process.
var origins = map[string]func() string{
	"plain": sync.OnceValue(func() string { return serve(origin.ServePlain) }),
	"tls":   sync.OnceValue(func() string { return serve(origin.ServeTLS) }),
	"http2": sync.OnceValue(func() string { return serve(origin.ServeHTTP2) }),
}

func serve(f func(func(string)) error) string {
	addrs := make(chan string)
	go f(func(addr string) { addrs <- addr })
	return <-addrs
}

// call runs 8 callers with some requests each.
func call(t *testing.T, name, server string, mode Mode, op *Op) Config {
	t.Helper()
	const callers = 8
	cfg := NewConfig(Config{Addr: origins[server](), TLS: server == "tls", Conns: 2, Concurrency: callers, Mode: mode})
	c, err := New(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range callers {
		w := c.NewWorker()
		wg.Go(func() {
			for range 5 {
				if err := w.Do(op); err != nil {
					t.Errorf("%s %s %s: %v", name, op.method(), op.Path, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return cfg
}

// TestGet lets every contestant do what the workloads ask of it.
func TestGet(t *testing.T) {
	for _, name := range Names() {
		if name == "rawpump" {
			continue // see TestPump
		}
		t.Run(name, func(t *testing.T) {
			servers := []string{"plain", "tls"}
			if name == "h2c" {
				servers = []string{"http2"}
			}
			for _, server := range servers {
				for _, mode := range Modes {
					for _, size := range []int64{1, 128, 4096, 4097, 65536} {
						op := &Op{Path: fmt.Sprintf("/b/%d", size), Want: size}
						cfg := call(t, name, server, mode, op)
						if cfg.Dialed() == 0 {
							t.Errorf("%s: no connection was counted", server)
						}
					}
				}
			}
		})
	}
}

func TestUpload(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ops := map[string]*Op{
		"memory": {Mem: content, Upload: func() (io.Reader, error) { return bytes.NewReader(content), nil }},
		"file":   {Upload: func() (io.Reader, error) { return os.Open(file) }},
		"copy": {Upload: func() (io.Reader, error) {
			f, err := os.Open(file)
			return CopyOnly{f}, err
		}},
	}
	for _, name := range Names() {
		if strings.HasPrefix(name, "limit-") {
			continue // GET only
		}
		server := "plain"
		if name == "h2c" {
			server = "http2"
		}
		for kind, op := range ops {
			t.Run(name+"/"+kind, func(t *testing.T) {
				op.Path, op.Want, op.UploadLen = "/u", 16, int64(len(content))
				call(t, name, server, Reuse, op)
			})
		}
	}
}

func TestWrongLengthIsAnError(t *testing.T) {
	for _, name := range Names() {
		server := "plain"
		if name == "h2c" {
			server = "http2"
		}
		c, err := New(name, NewConfig(Config{Addr: origins[server](), Conns: 1, Concurrency: 1}))
		if err != nil {
			t.Fatal(err)
		}
		if c.NewWorker().Do(&Op{Path: "/b/7", Want: 8}) == nil {
			t.Errorf("%s: 7 octets were taken for 8", name)
		}
	}
}

func TestPump(t *testing.T) {
	p := &rawPump{NewConfig(Config{Addr: origins["plain"](), Conns: 3, Concurrency: 16})}
	var stop atomic.Bool
	var n atomic.Int64
	err := p.Pump(&Op{Path: "/b/9000", Want: 9000}, &stop, func() func(int, time.Time) {
		return func(k int, sent time.Time) {
			if sent.IsZero() {
				t.Error("no time")
			}
			stop.Store(n.Add(int64(k)) > 1000)
		}
	})
	if err != nil || n.Load() <= 1000 {
		t.Errorf("%d responses, %v", n.Load(), err)
	}
	if got := p.cfg.Dialed(); got != 3 {
		t.Errorf("%d connections", got)
	}
}

// TestFloorHeader compares with net/http: a floor that delivered less than a
// RoundTripper must would be too low.
func TestFloorHeader(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nserver: x\r\nSet-Cookie: a\r\nContent-Length: 2\r\nSet-Cookie:  b\r\n\r\n"
	got := newFloorResponse(nil, []byte(head), floorBody{b: []byte("hi")}, 2)
	want := http.Header{"Server": {"x"}, "Set-Cookie": {"a", "b"}, "Content-Length": {"2"}}
	if fmt.Sprint(got.Header) != fmt.Sprint(want) || got.Status != "200 OK" || got.StatusCode != 200 {
		t.Errorf("%v %v", got.Status, got.Header)
	}
}

func TestLeastParse(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 42\r\nC: d\r\n\r\n"
	for i := range len(ok) {
		if head, _, err := leastParse([]byte(ok[:i])); head != nil || err != nil {
			t.Errorf("%q: %q %v", ok[:i], head, err)
		}
	}
	head, length, err := leastParse([]byte(ok + "content"))
	if string(head) != ok || length != 42 || err != nil {
		t.Errorf("%q %d %v", head, length, err)
	}
	for _, bad := range []string{"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"} {
		if _, _, err := leastParse([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestNew(t *testing.T) {
	if !slices.IsSorted(Names()) || !slices.Contains(Names(), "httppipe") {
		t.Errorf("names: %q", Names())
	}
	if _, err := New("nobody", Config{}); err == nil {
		t.Error("unknown contestants are accepted")
	}
}
