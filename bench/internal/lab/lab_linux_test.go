package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/httppipe/httppipe/bench/internal/role"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

// TestMain plays the roles in which the lab starts this program again.
func TestMain(m *testing.M) {
	if !role.Play(os.Args[1:]) {
		os.Exit(m.Run())
	}
}

// TestLab runs a few rows, for a moment each.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	runtime.LockOSThread()
	ws, err := workload.Select(workload.All(), `^(get/c1|get/c64/tls|nginx/4k|rtt/1ms/n2|put/memory|mem/idle)$`, []string{"fasthttp"})
	if err != nil {
		t.Fatal(err)
	}
	l, runnable, err := New(ws)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := exec.LookPath("nginx"); err == nil && len(runnable) != len(ws) {
		t.Errorf("%d of %d rows can run", len(runnable), len(ws))
	}
	for _, w := range runnable {
		w.Options.Concurrency = min(w.Options.Concurrency, 20)
		for _, name := range w.Contestants {
			res, err := l.Run(t.Context(), w, name, 0, 0.1)
			if err == nil && res.Requests == 0 { // a slow machine
				res, err = l.Run(t.Context(), w, name, 0, 5)
			}
			if err != nil || res.Errors > 0 || res.Requests == 0 {
				t.Errorf("%s %s: %v, %+v", w.ID, name, err, res)
			}
		}
	}
	if _, err := l.Run(t.Context(), runnable[0], "nobody", 0, 0.1); err == nil {
		t.Error("no error for a contestant that does not exist")
	}
	l.Close()
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	if slices.ContainsFunc(l.servers, func(c *exec.Cmd) bool { return c.ProcessState == nil }) {
		t.Error("servers are still running")
	}
}

// TestLabThatCannotStart: the error used to be lost in a panic.
func TestLabThatCannotStart(t *testing.T) {
	ws, err := workload.Select(workload.All(), `^nginx/4k$`, []string{"fasthttp"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nginx"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if _, _, err := New(ws); !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("New: %v, want %v", err, syscall.ENOEXEC)
	}
}
