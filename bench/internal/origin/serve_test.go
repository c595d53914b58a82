package origin

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The servers have no way to be stopped (they end with their process), so the
// tests leave their goroutines behind.

func start(t *testing.T, serve func(func(string)) error) (addr string) {
	t.Helper()
	addrs := make(chan string, 1)
	failed := make(chan error, 1)
	go func() { failed <- serve(func(a string) { addrs <- a }) }()
	select {
	case addr = <-addrs:
	case err := <-failed:
		t.Fatal(err)
	}
	return addr
}

// portable serves plain HTTP as systems without epoll do it.
func portable(announce func(string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	announce(ln.Addr().String())
	return Serve(ln)
}

func TestServers(t *testing.T) {
	for _, server := range []struct {
		name, scheme string
		serve        func(func(string)) error
		http2        bool
	}{
		{"plain", "http", ServePlain, false},
		{"portable", "http", portable, false},
		{"tls", "https", ServeTLS, false},
		{"http2", "http", ServeHTTP2, true},
	} {
		t.Run(server.name, func(t *testing.T) {
			tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
			tr.Protocols.SetHTTP1(!server.http2)
			tr.Protocols.SetUnencryptedHTTP2(server.http2)
			defer tr.CloseIdleConnections()
			testServer(t, &http.Client{Transport: tr}, server.scheme+"://"+start(t, server.serve))
		})
	}
}

func testServer(t *testing.T, client *http.Client, base string) {
	for _, test := range []struct {
		method, path string
		content      string
		want         int
	}{
		{"GET", "/b/1", "", 1},
		{"GET", "/b/65536", "", 65536},
		{"GET", "/slow/1", "", 128},
		{"PUT", "/u", "hello", 16},
		{"PUT", "/u", strings.Repeat("x", 20<<20), 16},
		{"POST", "/slow/1", "", 16},
		{"GET", "/b/128", "", 128},
	} {
		req, err := http.NewRequest(test.method, base+test.path, strings.NewReader(test.content))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", test.method, test.path, err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if len(b) != test.want || resp.StatusCode != 200 || err != nil {
			t.Errorf("%s %s: %d, %d octets, %v", test.method, test.path, resp.StatusCode, len(b), err)
		}
		if want := []byte(content(len(b))); !bytes.Equal(b, want) {
			t.Errorf("%s %s: wrong content", test.method, test.path)
		}
	}
}

// TestPipelined sends far more than the sockets hold before it reads, so that
// both servers have to stop parsing and go on again.
func TestPipelined(t *testing.T) {
	const n = 300
	for name, serve := range map[string]func(func(string)) error{"plain": ServePlain, "portable": portable} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", start(t, serve))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			requests := strings.Repeat("GET /b/100000 HTTP/1.1\r\n\r\n", n-1) + "GET /b/100000 HTTP/1.1\r\nConnection: close\r\n\r\n"
			if _, err := io.WriteString(c, requests); err != nil {
				t.Fatal(err)
			}
			// A server that forgot what it had stopped at would never close.
			if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(c)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if got := strings.Count(string(out), "HTTP/1.1 200 OK\r\n"); got != n {
				t.Errorf("%d responses, want %d", got, n)
			}
		})
	}
}
