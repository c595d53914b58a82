//go:build !race

package httppipe

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A plain GET allocates what its caller gets, and little else: the state of the call
// is larger than all of it.
func TestPlainGetAllocatesTheResponse(t *testing.T) {
	tr := &Transport{Dial: func(string, string) (net.Conn, error) { return dialCanned(t), nil }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest("GET", "http://origin.example/", nil)
	require.NoError(t, err)
	get := func() {
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	for range 100 {
		get()
	}
	const times = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		get()
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/times, uint64(1500))
}

// dialCanned returns a connection whose peer answers each read, which has one
// request, in the same way, without allocating anything.
func dialCanned(t *testing.T) net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	server, err := ln.Accept()
	require.NoError(t, err)
	go func() {
		defer server.Close()
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("a", 128))
		in := make([]byte, 4<<10)
		for n, err := server.Read(in); err == nil; n, err = server.Read(in) {
			if bytes.HasSuffix(in[:n], []byte("\r\n\r\n")) {
				server.Write(answer)
			}
		}
	}()
	return client
}
