package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of the times in /proc: USER_HZ, 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// endWithUs makes the kernel send sig to c's process when our thread ends, so
// that nothing is left behind even by a crash.
func endWithUs(c *exec.Cmd, sig syscall.Signal) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: sig} }

// meter begins to count the CPU that others take. The function it returns ends
// that and tells how many cores it was on average; client is the load
// generator that ran meanwhile.
func (l *Lab) meter() func(client *os.ProcessState) float64 {
	machine, own, begin := machineCPU(), l.ownCPU(), time.Now()
	return func(client *os.ProcessState) float64 {
		ours := l.ownCPU() - own + (client.UserTime() + client.SystemTime()).Seconds()
		return max(0, (machineCPU()-machine-ours)/time.Since(begin).Seconds())
	}
}

// machineCPU is the CPU time of all processes, in seconds.
func machineCPU() float64 {
	stat, _ := os.ReadFile("/proc/stat")
	return parseMachineCPU(string(stat))
}

// parseMachineCPU adds up the first line of /proc/stat: what is busy, without
// the time of guests, which is in the others too.
func parseMachineCPU(stat string) float64 {
	line, _, _ := strings.Cut(stat, "\n")
	const idle, iowait, guest = 4, 5, 9
	var ticks float64
	for i, field := range strings.Fields(line) {
		if i == 0 || i == idle || i == iowait || i >= guest {
			continue
		}
		n, _ := strconv.ParseFloat(field, 64)
		ticks += n
	}
	return ticks / ticksPerSecond
}

// ownCPU is the CPU time of the servers, their children (nginx's worker), and
// this process, in seconds.
func (l *Lab) ownCPU() float64 {
	own := map[int]bool{os.Getpid(): true}
	for _, c := range l.servers {
		own[c.Process.Pid] = true
	}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var total float64
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		stat, _ := os.ReadFile(f)
		parent, cpu := parseProcessCPU(string(stat))
		if own[pid] || own[parent] && parent != os.Getpid() {
			total += cpu
		}
	}
	return total
}

// parseProcessCPU finds the parent and the CPU time in seconds in a
// /proc/PID/stat.
func parseProcessCPU(stat string) (parent int, seconds float64) {
	// The name before the last parenthesis may contain anything.
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const ppid, utime, stime = 1, 11, 12
	if len(f) <= stime {
		return 0, 0
	}
	parent, _ = strconv.Atoi(f[ppid])
	user, _ := strconv.ParseFloat(f[utime], 64)
	system, _ := strconv.ParseFloat(f[stime], 64)
	return parent, (user + system) / ticksPerSecond
}
