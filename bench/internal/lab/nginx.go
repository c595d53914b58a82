package lab

import (
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/httppipe/httppipe/bench/internal/workload"
)

//go:embed nginx.conf
var nginxConf string

var nginxTemplate = template.Must(template.New("nginx.conf").Parse(nginxConf))

// nginxTries is how often we ask nginx whether it is up, 50 ms apart.
const nginxTries = 100

// startNginx runs nginx, with one worker, in a directory of its own. The error
// is [exec.ErrNotFound] if it is not installed.
func (l *Lab) startNginx() error {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		// Where it usually is, which not every user's PATH has.
		if binary, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return exec.ErrNotFound
		}
	}
	dir := filepath.Join(l.dir, "nginx")
	if err := writeStatic(dir); err != nil {
		return err
	}
	port, http2Port, err := freePorts()
	if err != nil {
		return err
	}
	var conf strings.Builder
	err = nginxTemplate.Execute(&conf, map[string]any{"Dir": dir, "Port": port, "HTTP2Port": http2Port, "Root": os.Getuid() == 0})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return err
	}
	c := exec.Command(binary, "-p", dir, "-c", file)
	c.Stderr = os.Stderr
	endWithUs(c, syscall.SIGTERM) // so that it ends its worker
	if err := c.Start(); err != nil {
		return err
	}
	l.servers = append(l.servers, c)
	l.addrs[workload.Nginx] = fmt.Sprintf("127.0.0.1:%d", port)
	l.addrs[workload.NginxH2] = fmt.Sprintf("127.0.0.1:%d", http2Port)
	return waitFor("http://" + l.addrs[workload.Nginx] + "/b/128")
}

// writeStatic writes the files to serve.
func writeStatic(dir string) error {
	files := filepath.Join(dir, "html", "b")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return err
	}
	for _, n := range []int{128, 4 << 10, 64 << 10} {
		if err := os.WriteFile(filepath.Join(files, strconv.Itoa(n)), []byte(strings.Repeat("x", n)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// freePorts finds two ports that are free now. They may be taken by the time
// nginx wants them, in which case it fails to start.
func freePorts() (a, b int, err error) {
	var ports [2]int
	for i := range ports {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer ln.Close()
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}

func waitFor(url string) error {
	var err error
	for range nginxTries {
		var resp *http.Response
		if resp, err = http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return nil
			}
			err = fmt.Errorf("%s: %s", url, resp.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
