package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// A backend is a way in which a Conn can move octets. tiny sockets hold little, so
// that both sides have to wait for each other.
type backend struct {
	name string
	pair func(t *testing.T, tiny bool) (client, server net.Conn)
}

var backends = []backend{
	{"raw", tcpPair},
	{"pump", pumpPair},
	{"tls", func(t *testing.T, tiny bool) (client, server net.Conn) {
		return tlsPair(t, tiny, TLSClient)
	}},
	{"tls-pump", func(t *testing.T, tiny bool) (client, server net.Conn) {
		return tlsPair(t, tiny, tls.Client)
	}},
}

func tcpPair(t *testing.T, tiny bool) (client, server net.Conn) {
	if tiny {
		return tinyPair(t)
	}
	return pipetest.TCPPair(t)
}

func pumpPair(t *testing.T, tiny bool) (client, server net.Conn) {
	client, server = tcpPair(t, tiny)
	return struct{ net.Conn }{client}, server
}

func tlsPair(t *testing.T, tiny bool, makeClient func(net.Conn, *tls.Config) *tls.Conn) (client, server net.Conn) {
	t.Helper()
	c, s := tcpPair(t, tiny)
	clientConfig, serverConfig := pipetest.TLSConfigs()
	clientConfig.ServerName = pipetest.Host
	tc, ts := makeClient(c, clientConfig), tls.Server(s, serverConfig)
	served := make(chan error, 1)
	go func() { served <- ts.Handshake() }()
	require.NoError(t, tc.Handshake())
	require.NoError(t, <-served)
	return tc, ts
}

// eachBackend runs test as a subtest for every backend. The sockets are closed
// after a while, so that a deadlock becomes a failure.
func eachBackend(t *testing.T, tiny bool, test func(t *testing.T, c *Conn, server net.Conn)) {
	eachBackendWith(t, tiny, nil, test)
}

func eachBackendWith(t *testing.T, tiny bool, opts *Options, test func(t *testing.T, c *Conn, server net.Conn)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, tiny)
			o := Options{Host: "origin.test"}
			if opts != nil {
				o = *opts
				o.Host = "origin.test"
			}
			c := NewConn(client, &o)
			watchdog := time.AfterFunc(30*time.Second, func() {
				t.Error("took so long that it must be a deadlock")
				c.Close()
				server.Close()
			})
			t.Cleanup(func() {
				watchdog.Stop()
				c.Close()
				server.Close()
			})
			test(t, c, server)
		})
	}
}

// serve answers the requests on nc, one after the other: it reads no further
// before an answer is written. It returns when the connection ends.
func serve(nc net.Conn, answer func(req *http.Request, content []byte) string) {
	br := bufio.NewReader(nc)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if req.Header.Get("Expect") != "" {
			io.WriteString(nc, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		content, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if _, err := io.WriteString(nc, answer(req, content)); err != nil {
			return
		}
	}
}

// serving runs serve until the test ends.
func serving(t *testing.T, nc net.Conn, answer func(req *http.Request, content []byte) string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(nc, answer)
	}()
	t.Cleanup(func() { nc.Close(); <-done })
}

// ok is a response of status 200 with content.
func ok(content string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
}

func bg() context.Context { return context.Background() }

// wantResponse reads a response and all of its content.
func wantResponse(t *testing.T, c *Conn, target string, status int, content string) *Response {
	t.Helper()
	resp, err := c.ReadResponse(bg())
	require.NoError(t, err)
	require.Equal(t, target, resp.Target)
	require.Equal(t, status, resp.StatusCode)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, content == string(got), "content of %s differs: %d octets %.40q", target, len(got), got)
	return resp
}

// readRequest reads a request and all of its content on the server's side.
func readRequest(t *testing.T, br *bufio.Reader) (req *http.Request, content []byte) {
	t.Helper()
	req, err := http.ReadRequest(br)
	require.NoError(t, err)
	content, err = io.ReadAll(req.Body)
	require.NoError(t, err)
	return req, content
}

func send(t *testing.T, nc net.Conn, octets string) {
	t.Helper()
	_, err := io.WriteString(nc, octets)
	require.NoError(t, err)
}

// wantReadable waits until the connection has something to read.
func wantReadable(t *testing.T, c *Conn) {
	t.Helper()
	ready, err := c.Poll(bg(), Readable)
	require.NoError(t, err)
	require.Equal(t, Readable, ready)
}

// tempFile returns a file with content, opened at its start.
func tempFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	name := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func sameOctets(t *testing.T, want, got []byte) {
	t.Helper()
	require.True(t, bytes.Equal(want, got), "octets differ: want %d, got %d", len(want), len(got))
}

// tinyBuffer is small enough to be full most of the time. With windows smaller
// than two segments of the loopback device (32 KiB each), TCP itself stalls for
// its persist timer again and again.
const tinyBuffer = 64 << 10
