package workload

import (
	"fmt"
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
	"github.com/httppipe/httppipe/bench/internal/load"
)

// MemoryCallers is the number of waiting callers of mem/waiting.
const MemoryCallers = 10_000

var (
	everybody = []string{"nethttp", "nethttp-N", "fasthttp", "fasthttp-rt", "fasthttp-pipe", "fasthttp-pipe-rt", "h2c",
		"httppipe", "limit-rt", "limit-rt-lf", "rawpump"}
	// transports are those that can be called through http.Client.
	transports = []string{"nethttp", "fasthttp-rt", "fasthttp-pipe-rt", "httppipe", "limit-rt"}
	overTLS    = []string{"nethttp", "nethttp-N", "fasthttp", "fasthttp-pipe", "fasthttp-pipe-rt", "httppipe", "limit-rt", "limit-rt-lf", "rawpump"}
	uploaders  = []string{"nethttp", "fasthttp", "fasthttp-pipe", "h2c", "httppipe", "rawpump"}
	limited    = []string{"nethttp-N", "fasthttp-pipe", "httppipe", "limit-rt"}
	// bulk is who has to do with content and with nginx.
	bulk   = []string{"nethttp", "fasthttp", "fasthttp-pipe", "fasthttp-pipe-rt", "httppipe", "limit-rt", "rawpump"}
	mixers = []string{"nethttp-N", "nethttp", "fasthttp", "fasthttp-pipe", "h2c", "httppipe", "limit-rt"}
)

// All are the rows of the whole comparison.
func All() []Workload {
	var ws []Workload
	for _, c := range []int{1, 16, 64, 256} {
		ws = append(ws, get(c, everybody))
	}
	ws = append(ws, scarceRow(limited), overTLSRow(overTLS))
	ws = append(ws, clientRows()...)
	ws = append(ws, contentRows()...)
	ws = append(ws, nginxRows()...)
	for _, n := range []int{1, 2, 8} {
		for _, rtt := range []time.Duration{10, 50} {
			who := limited
			switch n {
			case 2:
				who = append([]string{"nethttp"}, limited...)
			case 8:
				who = append([]string{"nethttp", "h2c", "fasthttp"}, limited...)
			}
			ws = append(ws, latency(rtt*time.Millisecond, n, who))
		}
	}
	// The ends of the picture.
	for _, rtt := range []time.Duration{1, 100} {
		ws = append(ws, latency(rtt*time.Millisecond, 2, append([]string{"nethttp"}, limited...)))
	}
	ws = append(ws, coldRows()...)
	ws = append(ws, uploadRows()...)
	ws = append(ws, slowRows()...)
	return append(ws, memoryRows()...)
}

// Quick are the rows that tell most, in less than a minute. limit-rt is there to
// show what the machine allows at the time.
func Quick() []Workload {
	small := []string{"nethttp", "fasthttp-pipe", "httppipe", "limit-rt-lf"}
	slow := slowRows()[1]
	slow.Contestants = []string{"nethttp-N", "fasthttp-pipe", "httppipe"}
	put := uploadRows()[0]
	put.Contestants = []string{"nethttp", "fasthttp", "httppipe"}
	client := clientRows()[0]
	client.Contestants = []string{"nethttp", "fasthttp-pipe-rt", "httppipe"}
	ws := []Workload{
		get(64, small),
		get(1, small),
		client,
		latency(50*time.Millisecond, 2, []string{"nethttp-N", "httppipe", "limit-rt"}),
		slow,
		put,
	}
	for i := range ws {
		o := &ws[i].Options
		o.Duration = max(500*time.Millisecond, 20*ws[i].RTT)
		o.WarmUp = min(o.WarmUp, 500*time.Millisecond)
	}
	return ws
}

// row fills in what most rows have in common.
func row(id, title string, callers int, who []string) Workload {
	return Workload{
		ID: id, Title: title, Server: Origin, Contestants: who, Base: "nethttp",
		Options: load.Options{
			Mode: string(contestant.Reuse), Concurrency: callers, Path: "/b/128", Want: 128,
			Duration: time.Second, WarmUp: 200 * time.Millisecond, SlowEvery: 100,
		},
	}
}

func get(callers int, who []string) Workload {
	return row(fmt.Sprintf("get/c%d", callers), fmt.Sprintf("GET 128 B, %s", plural(callers, "caller")), callers, who)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// scarceRow has few connections for many callers: net/http too.
func scarceRow(who []string) Workload {
	w := row("get/c256/n4", "GET 128 B, 256 callers, at most 4 connections, also for net/http", 256, who)
	w.Limited, w.Base = true, "nethttp-N"
	w.Options.Conns = 4
	return w
}

func overTLSRow(who []string) Workload {
	w := row("get/c64/tls", "GET 128 B over TLS, 64 callers", 64, who)
	w.Server = OriginTLS
	return w
}

func clientRows() []Workload {
	client := row("get/c64/client", "GET 128 B, 64 callers, through http.Client with a new request and a cancellable context each time", 64, transports)
	client.Options.Mode = string(contestant.Client)
	timeout := row("get/c64/timeout", "GET 128 B, 64 callers, through http.Client with Timeout and a new request each time", 64, transports)
	timeout.Options.Mode = string(contestant.Timeout)
	return []Workload{client, timeout}
}

func contentRows() []Workload {
	var ws []Workload
	for _, kib := range []int64{4, 64} {
		w := row(fmt.Sprintf("get/%dk", kib), fmt.Sprintf("GET %d KiB, 64 callers", kib), 64, bulk)
		w.Options.Path, w.Options.Want = fmt.Sprintf("/b/%d", kib<<10), kib<<10
		ws = append(ws, w)
	}
	return ws
}

// nginxRows repeat the important rows with a server that people use.
func nginxRows() []Workload {
	var ws []Workload
	for _, r := range []struct {
		id, title string
		size      int64
	}{
		{"nginx/c64", "GET 128 B, 64 callers, static file from nginx", 128},
		{"nginx/4k", "GET 4 KiB, 64 callers, static file from nginx", 4 << 10},
		{"nginx/64k", "GET 64 KiB, 64 callers, static file from nginx", 64 << 10},
	} {
		w := row(r.id, r.title, 64, bulk)
		w.Server = Nginx
		w.Options.Path, w.Options.Want = fmt.Sprintf("/b/%d", r.size), r.size
		ws = append(ws, w)
	}
	// Below saturation a client sometimes has nothing to send: see whom that delays.
	paced := row("nginx/paced", "GET 128 B, 2000/s by a schedule, static file from nginx", 64,
		[]string{"nethttp", "fasthttp", "fasthttp-pipe", "httppipe", "limit-rt"})
	paced.Server = Nginx
	paced.Options.Rate = 2000
	return append(ws, paced)
}

// latency has 64 callers and n connections to an origin far away.
func latency(rtt time.Duration, n int, who []string) Workload {
	w := row(fmt.Sprintf("rtt/%v/n%d", rtt, n),
		fmt.Sprintf("GET 128 B, 64 callers, round trip of %v, at most %s", rtt, plural(n, "connection")), 64, who)
	w.RTT, w.Limited, w.Base = rtt, true, "nethttp-N"
	w.Options.Conns = n
	// Steady state: connections are open and proved, which takes httppipe some
	// round trips. What that costs is in the cold rows.
	w.Options.WarmUp = 300*time.Millisecond + 10*rtt
	// Everything ends in steps of a round trip: measure 60 of them, for an
	// error of less than 2 %.
	w.Options.Duration = max(time.Second, 60*rtt)
	return w
}

// coldRows show what warm-up hides in the others.
func coldRows() []Workload {
	var ws []Workload
	for _, rtt := range []time.Duration{10, 50} {
		w := latency(rtt*time.Millisecond, 8, []string{"nethttp-N", "nethttp", "h2c", "fasthttp-pipe", "httppipe"})
		w.ID = fmt.Sprintf("cold/%v", w.RTT)
		w.Title = fmt.Sprintf("64 x GET 128 B at once with a new client, round trip of %v, at most 8 connections", w.RTT)
		w.Kind, w.Options.Cold, w.Options.WarmUp = Cold, true, 0
		w.Options.Duration = 2 * time.Second
		ws = append(ws, w)
	}
	free := latency(50*time.Millisecond, 0, []string{"nethttp", "h2c", "httppipe"})
	free.ID, free.Title = "cold/50ms/free", "32 x GET 128 B at once with a new client, round trip of 50ms, as many connections as it likes"
	free.Kind, free.Limited, free.Base = Cold, false, "nethttp"
	free.Options.Cold, free.Options.Concurrency, free.Options.WarmUp, free.Options.Duration = true, 32, 0, 2*time.Second
	return append(ws, free)
}

func uploadRows() []Workload {
	var ws []Workload
	for _, r := range []struct {
		id, title, kind string
		size            int64
		callers         int
	}{
		{"put/memory", "PUT 1 MiB from memory, 4 callers", load.UploadMemory, 1 << 20, 4},
		{"put/file", "PUT 64 MiB *os.File (page cache), 2 callers", load.UploadFile, 64 << 20, 2},
		{"put/copy", "PUT 64 MiB file as bare io.Reader, 2 callers", load.UploadCopy, 64 << 20, 2},
	} {
		w := row(r.id, r.title, r.callers, uploaders)
		w.Kind, w.Limited = Upload, true
		w.Options.Conns = r.callers
		w.Options.Path, w.Options.Want = "/upload", 16
		w.Options.Upload, w.Options.Size = r.kind, r.size
		w.Options.Duration = 2 * time.Second // a few dozen of the large ones
		ws = append(ws, w)
	}
	return ws
}

// slowRows have one slow request in a hundred, which on a pipelined connection
// is in the way of what is sent behind it; or none but slow ones, so that there is
// nothing to pipeline.
func slowRows() []Workload {
	paced := row("slow/paced", "1 % of the answers take 100 ms, 2000 requests/s by a schedule, at most 8 connections", 64, mixers)
	paced.Options.Rate = 2000
	saturated := row("slow/saturated", "1 % of the answers take 100 ms, 64 callers, at most 8 connections", 64, mixers)
	ws := []Workload{paced, saturated}
	for i := range ws {
		w := &ws[i]
		w.Kind, w.Limited, w.Base = Mixed, true, "nethttp-N"
		w.Options.Conns, w.Options.Slow = 8, "/slow/100"
		// Many come late at once, when all connections happen to be slow, and then none
		// for long: one second is unlike the next.
		w.Options.WarmUp, w.Options.Duration = 500*time.Millisecond, 4*time.Second
	}
	all := row("slow/all", "every answer takes 50 ms, 1000 callers", 1000, []string{"nethttp", "fasthttp", "httppipe"})
	all.Options.Path = "/slow/50"
	all.Options.WarmUp = time.Second // until they are open
	return append(ws, all)
}

func memoryRows() []Workload {
	idle := row("mem/idle", "octets held per idle connection", 500, []string{"nethttp", "httppipe"})
	idle.Options.Held = load.HeldIdle
	idleTLS := row("mem/idle/tls", "octets held per idle connection over TLS", 500, []string{"nethttp", "httppipe"})
	idleTLS.Server = OriginTLS
	idleTLS.Options.Held = load.HeldIdle
	waiting := row("mem/waiting", "octets held per waiting caller, its goroutine and request included: 10,000 of them, at most 8 connections", MemoryCallers, []string{"nethttp-N", "httppipe"})
	waiting.Base, waiting.Limited = "nethttp-N", true
	waiting.Options.Held, waiting.Options.Conns = load.HeldWaiting, 8
	ws := []Workload{idle, idleTLS, waiting}
	for i := range ws {
		ws[i].Kind = Memory
	}
	return ws
}
