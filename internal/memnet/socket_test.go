package memnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// await makes attempts through the poller until one does not return EAGAIN.
func await(wait func(func(uintptr) bool) error, attempt func() (int, error)) (n int, err error) {
	perr := wait(func(fd uintptr) bool {
		n, err = attempt()
		return err != syscall.EAGAIN
	})
	if perr != nil {
		return 0, perr
	}
	return n, err
}

func TestSocketWaitsUntilAnAttemptSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Buffer(4), Latency(time.Millisecond))
		s := Socket{client}
		raw, err := s.SyscallConn()
		require.NoError(t, err)
		p := make([]byte, 10)
		_, err = s.ReadNow(0, p)
		require.Equal(t, syscall.EAGAIN, err)

		start := time.Now()
		go server.Write([]byte("abc"))
		n, err := await(raw.Read, func() (int, error) { return s.ReadNow(0, p) })
		require.NoError(t, err)
		require.Equal(t, "abc", string(p[:n]))
		require.Equal(t, time.Millisecond, time.Since(start))

		n, err = s.WriteNow(0, []byte("123456"))
		require.NoError(t, err)
		require.Equal(t, 4, n)
		_, err = s.WriteNow(0, []byte("56"))
		require.Equal(t, syscall.EAGAIN, err)
		time.AfterFunc(time.Second, func() { io.ReadFull(server, p[:4]) })
		n, err = await(raw.Write, func() (int, error) { return s.WriteNow(0, []byte("56")) })
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, time.Second+time.Millisecond, time.Since(start))
		client.Close()
		server.Close()
	})
}

func TestSocketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]struct {
			f    func(client, server *Conn)
			want error // of the attempt; nil is the end of the stream
			wait error // in place of an attempt
		}{
			"EOF":      {f: func(_, server *Conn) { server.CloseWrite() }},
			"reset":    {f: func(_, server *Conn) { server.Reset() }, want: syscall.ECONNRESET},
			"closed":   {f: func(client, _ *Conn) { client.Close() }, wait: net.ErrClosed},
			"deadline": {f: func(client, _ *Conn) { client.SetReadDeadline(time.Unix(1, 0)) }, wait: os.ErrDeadlineExceeded},
		} {
			client, server := Pipe()
			s := Socket{client}
			raw, _ := s.SyscallConn()
			time.AfterFunc(time.Second, func() { end.f(client, server) })
			tries := 0
			n, err := await(raw.Read, func() (int, error) { tries++; return s.ReadNow(0, make([]byte, 1)) })
			require.Zero(t, n, name)
			if end.wait != nil {
				require.ErrorIs(t, err, end.wait, name)
				require.Equal(t, 1, tries, name)
			} else {
				require.Equal(t, end.want, err, name)
				require.Equal(t, 2, tries, name)
			}
			client.Close()
			server.Close()
		}
	})
}

func TestSocketThatIsClosedIsNotTried(t *testing.T) {
	client, _ := Pipe()
	client.Close()
	raw, _ := Socket{client}.SyscallConn()
	require.ErrorIs(t, raw.Control(func(uintptr) { t.Error("tried") }), net.ErrClosed)
	_, err := Socket{client}.ReadNow(0, make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = Socket{client}.WriteNow(0, make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}
