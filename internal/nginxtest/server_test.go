package nginxtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

const (
	// startTimeout and stopTimeout bound what nginx does within milliseconds.
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second

	// portTries is how often a port is chosen that somebody else then takes.
	portTries = 5
)

// A config says how nginx is to run.
type config struct {
	tls bool

	// requestsPerConnection is after how many requests nginx closes a
	// connection; 0 leaves nginx's default, which is 1000.
	requestsPerConnection int
}

// A server is a running nginx that serves the files in its document root.
type server struct {
	url   string         // scheme and authority
	roots *x509.CertPool // that its certificate is signed by; nil without TLS

	t      *testing.T
	prefix string // folder with everything that is nginx's
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
}

var configTemplate = template.Must(template.New("nginx.conf").Parse(`
{{- if .Root}}user root;{{end}}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { worker_connections 512; }
http {
	log_format connections '$connection $connection_requests $status $request_uri';
	access_log access.log connections;
	client_body_temp_path tmp;
	proxy_temp_path tmp;
	fastcgi_temp_path tmp;
	uwsgi_temp_path tmp;
	scgi_temp_path tmp;
	{{- if .RequestsPerConnection}}
	keepalive_requests {{.RequestsPerConnection}};
	{{- end}}
	server {
		listen {{.Addr}}{{if .TLS}} ssl{{end}};
		root root;
		{{- if .TLS}}
		ssl_certificate cert.pem;
		ssl_certificate_key key.pem;
		{{- end}}
	}
}
`))

// start runs an nginx that serves files (by name), and stops it with the test.
// Without nginx on this machine the test is skipped, or fails if the
// environment says that nginx is required.
func start(t *testing.T, cfg config, files map[string][]byte) *server {
	t.Helper()
	program := find(t)
	s := &server{t: t, prefix: t.TempDir(), url: "http://"}
	for _, folder := range []string{"root", "tmp"} {
		s.must(os.Mkdir(s.path(folder), 0o700))
	}
	for name, data := range files {
		s.must(os.WriteFile(s.path("root", name), data, 0o600))
	}
	if cfg.tls {
		s.url = "https://"
		s.roots = s.writeCertificate()
	}
	for range portTries {
		addr := freeAddr(t)
		s.writeConfig(cfg, addr)
		if s.run(program, addr) {
			s.url += addr
			t.Cleanup(s.stop)
			return s
		}
	}
	t.Fatalf("nginx did not start:\n%s", s.errorLog())
	return nil
}

// find returns the path of nginx.
func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const missing = "nginx is not installed (Debian: apt-get install nginx-light)"
	if os.Getenv("HTTPPIPE_NGINX") == "required" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func (s *server) writeConfig(cfg config, addr string) {
	var b bytes.Buffer
	s.must(configTemplate.Execute(&b, map[string]any{
		// Otherwise root's nginx reads the files as a user who may not.
		"Root":                  os.Geteuid() == 0,
		"Addr":                  addr,
		"TLS":                   cfg.tls,
		"RequestsPerConnection": cfg.requestsPerConnection,
	}))
	s.must(os.WriteFile(s.path("nginx.conf"), b.Bytes(), 0o600))
}

// run starts the process and waits until it accepts connections at addr.
// It returns false if the process ended instead.
func (s *server) run(program, addr string) bool {
	s.cmd = exec.Command(program, "-p", s.prefix, "-c", "nginx.conf")
	s.must(s.cmd.Start())
	s.ended = make(chan struct{})
	go func() {
		s.cmd.Wait() // how it ended is in the error log
		close(s.ended)
	}()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
			return s.ownsPort()
		}
		select {
		case <-s.ended:
			return false
		case <-ctx.Done():
			s.cmd.Process.Kill()
			s.t.Fatalf("nginx does not accept connections: %v\n%s", err, s.errorLog())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ownsPort reports whether it is our nginx that accepted a connection, not
// another program that took the port first: nginx writes its process number
// after it could listen, and ends when it can't.
func (s *server) ownsPort() bool {
	for {
		if _, err := os.Stat(s.path("nginx.pid")); err == nil {
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends nginx and waits until it has written its logs. It may be called
// again.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGQUIT) // an error means that it has ended
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		s.t.Errorf("nginx does not stop:\n%s", s.errorLog())
	}
}

// A logEntry is one request as nginx logged it.
type logEntry struct {
	connection int // serial number of the connection
	request    int // serial number of the request on it, from 1
	status     int
	uri        string
}

// accessLog stops nginx and returns all requests that it answered, in the order
// of its answers.
func (s *server) accessLog() []logEntry {
	s.t.Helper()
	s.stop()
	data, err := os.ReadFile(s.path("access.log"))
	s.must(err)
	var entries []logEntry
	for line := range strings.Lines(string(data)) {
		var e logEntry
		_, err := fmt.Sscan(line, &e.connection, &e.request, &e.status, &e.uri)
		if err != nil {
			s.t.Fatalf("access log line %q: %v", line, err)
		}
		entries = append(entries, e)
	}
	return entries
}

func (s *server) errorLog() string {
	data, err := os.ReadFile(s.path("error.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// writeCertificate makes a certificate for 127.0.0.1 that signs itself, and
// returns the pool that trusts it.
func (s *server) writeCertificate() *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certDER, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	s.must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	s.must(os.WriteFile(s.path("cert.pem"), certPEM, 0o600))
	s.must(os.WriteFile(s.path("key.pem"), keyPEM, 0o600))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

func (s *server) path(elem ...string) string {
	return filepath.Join(append([]string{s.prefix}, elem...)...)
}

func (s *server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// freeAddr returns a loopback address at which nobody listens at the moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
