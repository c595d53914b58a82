//go:build linux && (amd64 || arm64)

package pipeline

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestLastArrival(t *testing.T) {
	client, peer := pipetest.TCPPair(t)
	sys, err := client.SyscallConn()
	require.NoError(t, err)
	ago := func() (d time.Duration) {
		require.NoError(t, sys.Control(func(fd uintptr) { d = lastArrival(fd) }))
		return d
	}
	receive := func() {
		_, err := peer.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, 1))
		require.NoError(t, err)
	}
	receive()
	const long = 100 * time.Millisecond
	require.Eventually(t, func() bool { return ago() >= long }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { receive(); return ago() < long }, 10*time.Second, time.Millisecond)
}

// A busy process sees octets long after they came. It used to take the peer for slow.
func TestOctetsThatWereThereAreNotWaitedFor(t *testing.T) {
	client, peer := pipetest.TCPPair(t)
	l := newRawLink(client).(*rawLink)
	asked := 0
	var ago time.Duration
	l.look = func(uintptr) { asked++; l.ago = ago }
	in := make([]byte, 1)
	write := func() {
		_, err := peer.Write([]byte("x"))
		require.NoError(t, err)
	}
	for _, ago = range []time.Duration{0, longAgo - 1, longAgo} {
		asked = 0
		time.AfterFunc(5*longWait, write)
		m := l.transfer(in, nil, true)
		require.Equal(t, 1, m.in)
		require.Equal(t, 1, asked)
		require.Equal(t, ago < longAgo, m.waited)
	}
	write()
	require.Eventually(t, func() bool { return l.transfer(in, nil, false).in == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, asked, "nobody waited")
}
