// Package lab starts the processes of a comparison: the servers, and the load
// generator once per measurement. Except for nginx they are this program again, in
// another role.
package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/httppipe/httppipe/bench/internal/result"
	"github.com/httppipe/httppipe/bench/internal/role"
	"github.com/httppipe/httppipe/bench/internal/workload"
)

const (
	// uploadSize is the size of the file to upload: the largest that a
	// workload asks for.
	uploadSize = 64 << 20
	// patience is how much longer than its measured time a measurement may
	// take, before its process is killed: a contestant that hangs ends by
	// itself, so this is for what nobody thought of.
	patience = 20 * time.Second
)

// A Lab is a directory, and servers that run. Close ends it. It is for one
// goroutine, which must stay on its thread where processes die with the thread
// that started them (Linux). The program must begin with [role.Play].
type Lab struct {
	self    string // this program
	dir     string
	servers []*exec.Cmd
	addrs   map[string]string // by server, with the round-trip time behind it if there is one
}

// New starts the servers that the workloads need.
// Workloads whose server is not installed are left out of runnable.
func New(ws []workload.Workload) (l *Lab, runnable []workload.Workload, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "httppipe-bench-")
	if err != nil {
		return nil, nil, err
	}
	l = &Lab{self: self, dir: dir, addrs: make(map[string]string)}
	defer func(made *Lab) {
		if err != nil {
			made.Close()
		}
	}(l)
	if err := l.startOrigins(ws); err != nil {
		return nil, nil, err
	}
	if workload.Uses(ws, workload.Nginx) {
		switch err := l.startNginx(); {
		case errors.Is(err, exec.ErrNotFound): // not installed: do without
		case err != nil:
			return nil, nil, err
		}
	}
	for _, w := range ws {
		if l.addrs[w.Server] == "" {
			continue
		}
		if err := l.prepare(w); err != nil {
			return nil, nil, err
		}
		runnable = append(runnable, w)
	}
	return l, runnable, nil
}

func (l *Lab) startOrigins(ws []workload.Workload) error {
	for server, protocol := range map[string]string{workload.Origin: "plain", workload.OriginTLS: "tls", workload.HTTP2: "http2"} {
		if !workload.Uses(ws, server) {
			continue
		}
		if err := l.start(server, role.Origin, "-protocol", protocol); err != nil {
			return err
		}
	}
	return nil
}

// prepare starts the proxies that a workload needs, and writes its file.
func (l *Lab) prepare(w workload.Workload) error {
	if w.Kind == workload.Upload {
		if err := l.writeUpload(); err != nil {
			return err
		}
	}
	if w.RTT == 0 {
		return nil
	}
	for _, name := range w.Contestants {
		server := w.ServerFor(name)
		key := server + w.RTT.String()
		if l.addrs[key] != "" {
			continue
		}
		if err := l.start(key, role.Proxy, "-to", l.addrs[server], "-rtt", w.RTT.String()); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) uploadFile() string { return filepath.Join(l.dir, "upload") }

func (l *Lab) writeUpload() error {
	if _, err := os.Stat(l.uploadFile()); err == nil {
		return nil
	}
	return os.WriteFile(l.uploadFile(), make([]byte, uploadSize), 0o600)
}

// start runs one of our servers and takes note of the address that it prints.
func (l *Lab) start(key, part string, args ...string) error {
	c := exec.Command(l.self, append([]string{part}, args...)...)
	c.Stderr = os.Stderr
	endWithUs(c, syscall.SIGKILL)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	l.servers = append(l.servers, c)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s did not start: %w", part, err)
	}
	l.addrs[key] = role.Address(line)
	return nil
}

// Run measures one contestant in one workload, for its time multiplied by
// scale. own is as for [workload.Workload.OptionsFor]. The end of ctx ends it.
func (l *Lab) Run(ctx context.Context, w workload.Workload, name string, own int, scale float64) (result.Result, error) {
	opts := w.OptionsFor(name, own)
	opts.Addr = l.addrs[w.ServerFor(name)]
	if w.RTT > 0 {
		opts.Addr = l.addrs[w.ServerFor(name)+w.RTT.String()]
	}
	opts.Duration = time.Duration(float64(opts.Duration) * scale)
	opts.File = l.uploadFile()
	ctx, cancel := context.WithTimeout(ctx, opts.Duration+opts.WarmUp+patience)
	defer cancel()
	c := exec.CommandContext(ctx, l.self, append([]string{role.Client}, opts.Args()...)...)
	var stderr strings.Builder
	c.Stderr = &stderr
	endWithUs(c, syscall.SIGKILL)
	used, stalled := l.meter(), watchStalls()
	out, err := c.Output()
	stall := stalled()
	if err != nil {
		return result.Result{}, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	var res result.Result
	if err := json.Unmarshal(out, &res); err != nil {
		return result.Result{}, fmt.Errorf("client printed no result: %w", err)
	}
	res.Foreign, res.Stall = used(c.ProcessState), stall.Seconds()*1000
	return res, nil
}

// firstLine keeps a panic's stacks out of error messages.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Close ends the servers and removes the directory.
func (l *Lab) Close() {
	for _, c := range l.servers {
		c.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range l.servers {
		c.Wait()
	}
	os.RemoveAll(l.dir)
}
