package load

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/httppipe/httppipe/bench/internal/origin"
	"github.com/httppipe/httppipe/bench/internal/result"
)

// The origin ends with the process.
var addr = sync.OnceValue(func() string {
	addrs := make(chan string)
	go origin.ServePlain(func(a string) { addrs <- a })
	return <-addrs
})

// measured runs the default options as changed by change, for as long as it
// takes to see a request answered.
func measured(t *testing.T, change func(*Options)) result.Result {
	t.Helper()
	var opts Options
	opts.Bind(flag.NewFlagSet("", flag.ContinueOnError))
	opts.Addr, opts.Concurrency = addr(), 4
	opts.WarmUp, opts.Duration = 10*time.Millisecond, 100*time.Millisecond
	change(&opts)
	for {
		res, err := Run(opts)
		if err != nil {
			t.Fatal(err)
		}
		if res.Errors > 0 {
			t.Fatalf("%d errors, first: %s", res.Errors, res.FirstError)
		}
		if res.Requests > 0 || opts.Duration > 10*time.Second {
			return res
		}
		opts.Duration *= 2
	}
}

func TestRun(t *testing.T) {
	res := measured(t, func(*Options) {})
	if res.Requests == 0 || res.PerSecond <= 0 || res.Allocs <= 0 || res.P99 < res.P50 || res.P50 <= 0 {
		t.Errorf("%+v", res)
	}
	if res.Conns == 0 || res.Conns > 8 {
		t.Errorf("%d connections for 4 callers", res.Conns)
	}
}

func TestRunPumper(t *testing.T) {
	res := measured(t, func(o *Options) { o.Name = "rawpump" })
	if res.Requests == 0 || res.Conns != 1 {
		t.Errorf("%+v", res)
	}
}

func TestRunUpload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{UploadMemory, UploadFile, UploadCopy} {
		res := measured(t, func(o *Options) {
			o.Upload, o.File, o.Size, o.Want = kind, file, 1000, 16
		})
		if res.GBps <= 0 {
			t.Errorf("%s: %+v", kind, res)
		}
	}
}

// TestRunMixed has nothing but slow requests, so that no fast one is counted.
func TestRunMixed(t *testing.T) {
	res := measured(t, func(o *Options) { o.Slow, o.SlowEvery = "/slow/1", 1 })
	if res.SlowP50 < 1000 || res.P50 != 0 || res.Late != 0 {
		t.Errorf("%+v", res)
	}
}

// TestPacedDoesNotWait: three times as much is asked of a connection as it can carry.
// One caller after the other would see 10 ms each time.
func TestPacedDoesNotWait(t *testing.T) {
	before := runtime.NumGoroutine()
	res := measured(t, func(o *Options) {
		o.Name, o.Conns, o.Path, o.Rate = "nethttp-N", 1, "/slow/10", 300
		o.WarmUp = 200 * time.Millisecond
	})
	if res.P50 < 50_000 || res.Conns != 1 {
		t.Errorf("%+v", res)
	}
	for runtime.NumGoroutine() > before+10 { // those left behind would be counted by others
		time.Sleep(time.Millisecond)
	}
}

// TestCold has answers so slow that no connection is free again before another caller
// has begun.
func TestCold(t *testing.T) {
	res := measured(t, func(o *Options) { o.Name, o.Conns, o.Cold, o.Path = "nethttp-N", 2, true, "/slow/500" })
	if res.Batch <= 0 || res.Conns != 2 || res.Requests%4 != 0 {
		t.Errorf("%+v", res)
	}
}

// TestRepeated: a client that says how often it sent again is asked.
func TestRepeated(t *testing.T) {
	if res := measured(t, func(o *Options) { o.Name = "httppipe" }); res.Again == nil || *res.Again < 0 || *res.Again > 1 {
		t.Errorf("%+v", res)
	}
	if res := measured(t, func(*Options) {}); res.Again != nil {
		t.Error("net/http does not say")
	}
}

func TestHeld(t *testing.T) {
	idle := measured(t, func(o *Options) { o.Held, o.Concurrency = HeldIdle, 50 })
	if idle.Held < 1000 || idle.Conns < 50 || idle.Goroutines < 1.5 {
		t.Errorf("idle: %+v; net/http has two goroutines and two buffers of 4 KiB", idle)
	}
	waiting := measured(t, func(o *Options) { o.Held, o.Concurrency, o.Conns, o.Name = HeldWaiting, 200, 2, "nethttp-N" })
	if waiting.Held < 1000 || waiting.Conns != 2 || waiting.Goroutines < 1 {
		t.Errorf("waiting: %+v", waiting)
	}
}

func TestRunErrors(t *testing.T) {
	for name, opts := range map[string]Options{
		"contestant": {Name: "nobody"},
		"upload":     {Name: "nethttp", Upload: "x"},
		"held":       {Name: "nethttp", Addr: addr(), Held: "x"},
		"mix":        {Name: "rawpump", Slow: "/slow/1"},
	} {
		if _, err := Run(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseIO(t *testing.T) {
	if r, w := parseIO("rchar: 1\nwchar: 2\nsyscr: 33\nsyscw: 44\nread_bytes: 5\n"); r != 33 || w != 44 {
		t.Errorf("%d reads, %d writes", r, w)
	}
}
