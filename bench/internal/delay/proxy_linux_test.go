package delay

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestProxy sends much more than fits into sockets' buffers through the proxy
// and back. How long it takes is only checked from below.
func TestProxy(t *testing.T) {
	const roundTrip = 20 * time.Millisecond
	echo, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	addrs := make(chan string, 1)
	// The proxy ends with its process only.
	go Serve(echo.Addr().String(), roundTrip, func(a string) { addrs <- a })

	c, err := net.Dial("tcp4", <-addrs)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	begin := time.Now()
	go func() {
		c.Write(want)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d octets of %d came back, %v", len(got), len(want), err)
	}
	// One round trip for the handshake, one for the octets.
	if d := time.Since(begin); d < 2*roundTrip {
		t.Errorf("they took %v, less than two round trips", d)
	}
}
