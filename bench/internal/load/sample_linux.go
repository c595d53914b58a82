package load

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/httppipe/httppipe/bench/internal/result"
)

// supported reports whether this system can be measured on.
func supported() error { return nil }

// A sample is what the process has used up to some moment.
type sample struct {
	at            time.Time
	user, system  time.Duration // CPU
	switches      int64
	reads, writes int64 // system calls
	mem           runtime.MemStats
}

func takeSample() (s sample) {
	runtime.ReadMemStats(&s.mem)
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	s.user = time.Duration(ru.Utime.Nano())
	s.system = time.Duration(ru.Stime.Nano())
	s.switches = ru.Nvcsw + ru.Nivcsw
	io, _ := os.ReadFile("/proc/self/io") // some containers hide it: counts stay 0
	s.reads, s.writes = parseIO(string(io))
	s.at = time.Now()
	return s
}

// parseIO finds the numbers of reading and writing system calls.
func parseIO(text string) (reads, writes int64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "syscr":
			reads = n
		case "syscw":
			writes = n
		}
	}
	return reads, writes
}

// since fills in what res.Requests requests have used since before.
func (s *sample) since(before sample, res *result.Result) {
	n := float64(max(res.Requests, 1))
	res.User = micros(s.user-before.user) / n
	res.System = micros(s.system-before.system) / n
	res.CPU = res.User + res.System
	res.Switches = float64(s.switches-before.switches) / n
	res.Reads = float64(s.reads-before.reads) / n
	res.Writes = float64(s.writes-before.writes) / n
	res.Allocs = float64(s.mem.Mallocs-before.mem.Mallocs) / n
	res.Bytes = float64(s.mem.TotalAlloc-before.mem.TotalAlloc) / n
	res.GCs = s.mem.NumGC - before.mem.NumGC
}
