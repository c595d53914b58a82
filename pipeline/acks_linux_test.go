package pipeline

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// wrapped is what a dial func may return that does something of its own.
type wrapped struct{ *net.TCPConn }

// TCP_QUICKACK reads as 0 as long as acknowledgements are delayed.
func TestAcknowledgementIsAskedForBelow(t *testing.T) {
	client, _ := pipetest.TCPPair(t)
	sys, err := client.SyscallConn()
	require.NoError(t, err)
	control := func(f func(fd int)) {
		require.NoError(t, sys.Control(func(fd uintptr) { f(int(fd)) }))
	}
	for _, nc := range []net.Conn{
		client,
		wrapped{client},
		tls.Client(client, new(tls.Config)),
		tls.Client(wrapped{client}, new(tls.Config)),
		TLSClient(client, new(tls.Config)),
	} {
		control(func(fd int) {
			require.NoError(t, syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0))
		})
		ack := acknowledger(nc)
		require.NotNil(t, ack)
		ack()
		control(func(fd int) {
			quick, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
			require.NoError(t, err)
			require.Equal(t, 1, quick)
		})
	}
	pipe, _ := net.Pipe()
	require.Nil(t, acknowledger(pipe))
}
