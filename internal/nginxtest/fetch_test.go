// Package nginxtest runs httppipe against a real nginx, as a user would: an
// http.Client, many goroutines, and a transport from outside the package.
//
// nginx closes each connection after a number of requests (1000 unless
// configured otherwise), with more of them already sent behind the last. Those
// who made them must not notice.
//
// Without nginx the tests are skipped. With HTTPPIPE_NGINX=required in the
// environment they fail instead, so that a run that has to cover them does.
package nginxtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/httppipe/httppipe"
)

const (
	documents = 2000
	large     = 4 // of them
	callers   = 64

	// fetchTimeout ends a test that hangs. Nothing is measured against it.
	fetchTimeout = 2 * time.Minute
)

func TestDocumentsArriveWhileNginxClosesConnections(t *testing.T) {
	files := contents()
	for _, tt := range []struct {
		name string
		cfg  config
		// How many connections nginx makes necessary, and how many more would
		// mean that they end for other reasons than these: nginx has closed them
		// (two, for the first two), or a large document held up who waited behind
		// it, as it may where this machine is slow. The last one just is there.
		minConns, maxConns int
	}{
		{"1000 requests a connection", config{}, 2, 2 + large + 1},
		{"1000 requests a connection, TLS", config{tls: true}, 2, 2 + large + 1},
		{"20 requests a connection", config{requestsPerConnection: 20}, 100, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := start(t, tt.cfg, files)
			transport := &httppipe.Transport{MaxConnsPerHost: 1}
			if srv.roots != nil {
				transport.TLSClientConfig = &tls.Config{RootCAs: srv.roots}
			}
			fetchAll(t, &http.Client{Transport: transport}, srv.url, files)
			transport.CloseIdleConnections()
			checkLog(t, srv.accessLog(), tt.cfg, tt.minConns, tt.maxConns)
		})
	}
}

// contents returns the documents by name. All are distinct; most are small, a
// few are too large for the buffers between nginx and the test. Between these are
// more than a connection has requests, so that one is closed by nginx in any case.
func contents() map[string][]byte {
	files := make(map[string][]byte, documents)
	for i := range documents {
		title := fmt.Sprintf("This is document %d.\n", i)
		size := len(title) + 1<<(i%15)
		if i%1250 >= 250 && i%1250 < 250+large/2 {
			size = 8 << 20
		}
		data := make([]byte, size)
		noise := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)})
		noise.Read(data[copy(data, title):])
		files[name(i)] = data
	}
	return files
}

func name(i int) string { return fmt.Sprintf("%04d", i) }

// fetchAll fetches each document once, many at the same time, and compares
// every octet.
func fetchAll(t *testing.T, client *http.Client, url string, files map[string][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fetchTimeout)
	defer cancel()
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range numbers {
				if err := fetch(ctx, client, url+"/"+name(i), files[name(i)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range documents {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
}

func fetch(ctx context.Context, client *http.Client, url string, want []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w after %d of %d octets", url, err, len(got), len(want))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: status %s", url, resp.Status)
	case !bytes.Equal(got, want):
		return fmt.Errorf("%s: wrong content, %d octets that begin with %.40q; want %d octets that begin with %.40q",
			url, len(got), got, len(want), want)
	}
	return nil
}

// checkLog checks that nginx answered every document, closed connections as
// configured, and saw as many of them as that makes necessary.
func checkLog(t *testing.T, log []logEntry, cfg config, minConns, maxConns int) {
	t.Helper()
	perConn := cfg.requestsPerConnection
	if perConn == 0 {
		perConn = 1000
	}
	answered := make(map[string]bool)
	conns := make(map[int]int) // number of requests
	for _, e := range log {
		conns[e.connection]++
		answered[e.uri] = answered[e.uri] || e.status == http.StatusOK
	}
	for i := range documents {
		if !answered["/"+name(i)] {
			t.Errorf("nginx has no answer to document %d in its log", i)
		}
	}
	full := 0
	for _, n := range conns {
		if n == perConn {
			full++
		}
	}
	if full == 0 {
		t.Errorf("no connection reached the %d requests after which nginx closes it", perConn)
	}
	if n := len(conns); n < minConns || n > maxConns {
		t.Errorf("%d connections, want %d to %d", n, minConns, maxConns)
	}
	t.Logf("%d requests on %d connections, %d of them closed by nginx", len(log), len(conns), full)
}
