//go:build unix

package pipeline

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// awaitInput waits until nc, from which nobody reads, has something to read.
func awaitInput(t *testing.T, nc net.Conn) {
	rc, err := nc.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, rc.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err == nil
	}))
}

// tinyPair returns the ends of a TCP connection with small buffers. They are set
// before the connection is made: a window that shrinks afterwards has segments
// dropped, and the connection crawls.
func tinyPair(t *testing.T) (client, server net.Conn) {
	shrink := func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, tinyBuffer)
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, tinyBuffer)
		})
	}
	ln, err := (&net.ListenConfig{Control: shrink}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err = (&net.Dialer{Control: shrink}).Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	server, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return client, server
}
