//go:build linux && (amd64 || arm64) && !race && !msan && !asan

package pipeline

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// net.TCPConn.File shares its flags: who makes the file blocking, makes the socket so. A
// write of which the scheduler is not told would then stop the whole process.
func TestWriteToABlockingSocketDoesNotWait(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	f, err := nc.(*net.TCPConn).File()
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, syscall.SetNonblock(int(f.Fd()), false))
	for {
		n, err := -1, error(nil)
		rc, _ := nc.(*net.TCPConn).SyscallConn()
		require.NoError(t, rc.Control(func(fd uintptr) { n, err = writeSocket(int(fd), make([]byte, 1<<20)) }))
		if n < 0 {
			require.Equal(t, syscall.EAGAIN, err)
			return
		}
	}
}
