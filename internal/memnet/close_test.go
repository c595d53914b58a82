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

// inBubble runs each test on a fresh pair of ends in virtual time.
func inBubble(t *testing.T, opts []Option, tests map[string]func(t *testing.T, client, server *Conn)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := Pipe(opts...)
				test(t, client, server)
			})
		})
	}
}

// writeErr is the error of a Write that must hand over nothing.
func writeErr(t *testing.T, c net.Conn) error {
	t.Helper()
	n, err := c.Write([]byte("x"))
	require.Zero(t, n)
	return err
}

func TestClose(t *testing.T) {
	inBubble(t, []Option{Buffer(8)}, map[string]func(t *testing.T, client, server *Conn){
		"the peer reads what was sent, then EOF again and again": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "last")
			require.NoError(t, client.Close())
			mustRead(t, server, "last")
			require.Equal(t, io.EOF, readErr(t, server))
			require.Equal(t, io.EOF, readErr(t, server))
		},
		"own calls fail": func(t *testing.T, client, server *Conn) {
			require.False(t, client.IsClosed())
			require.NoError(t, client.Close())
			require.True(t, client.IsClosed())
			require.ErrorIs(t, readErr(t, client), net.ErrClosed)
			require.ErrorIs(t, writeErr(t, client), net.ErrClosed)
			require.ErrorIs(t, client.Close(), net.ErrClosed)
			require.ErrorIs(t, client.CloseWrite(), net.ErrClosed)
		},
		"own blocked calls fail": func(t *testing.T, client, server *Conn) {
			read, write := readInBackground(client), writeInBackground(client, make([]byte, 9))
			second := writeInBackground(client, []byte("waits for the first"))
			pending(t, read)
			pending(t, write)
			require.NoError(t, client.Close())
			require.ErrorIs(t, (<-read).err, net.ErrClosed)
			require.ErrorIs(t, (<-write).err, net.ErrClosed)
			require.ErrorIs(t, (<-second).err, net.ErrClosed)
		},
		"first write to a closed peer succeeds, the next is a broken pipe": func(t *testing.T, client, server *Conn) {
			require.NoError(t, server.Close())
			mustWrite(t, client, "lost")
			require.ErrorIs(t, writeErr(t, client), syscall.EPIPE)
			require.ErrorIs(t, writeErr(t, client), syscall.EPIPE)
			require.Equal(t, io.EOF, readErr(t, client))
		},
		"peer closing fails a blocked write": func(t *testing.T, client, server *Conn) {
			write := writeInBackground(client, make([]byte, 9))
			pending(t, write)
			require.NoError(t, server.Close()) // with octets unread
			got := <-write
			require.Equal(t, 8, got.n)
			require.ErrorIs(t, got.err, syscall.ECONNRESET)
		},
		"with octets unread resets the peer, whose queue survives": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "GET /b")
			mustWrite(t, server, "200 /a")
			require.NoError(t, server.Close())
			mustRead(t, client, "200 /a")
			require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
		},
	})
}

func TestCloseWrite(t *testing.T) {
	inBubble(t, nil, map[string]func(t *testing.T, client, server *Conn){
		"the other direction goes on": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "request")
			require.NoError(t, client.CloseWrite())
			mustRead(t, server, "request")
			require.Equal(t, io.EOF, readErr(t, server))
			mustWrite(t, server, "response")
			mustRead(t, client, "response")
		},
		"own writes fail": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.CloseWrite())
			require.ErrorIs(t, writeErr(t, client), syscall.EPIPE)
		},
		"wakes a reader": func(t *testing.T, client, server *Conn) {
			read := readInBackground(server)
			pending(t, read)
			require.NoError(t, client.CloseWrite())
			require.Equal(t, io.EOF, (<-read).err)
		},
	})
}

func TestReset(t *testing.T) {
	inBubble(t, []Option{Buffer(8)}, map[string]func(t *testing.T, client, server *Conn){
		"wakes blocked calls, one of which gets the error": func(t *testing.T, client, server *Conn) {
			read := readInBackground(client)
			pending(t, read)
			require.NoError(t, server.Reset())
			require.ErrorIs(t, (<-read).err, syscall.ECONNRESET)
		},
		"the error is reported once, then EOF and broken pipe": func(t *testing.T, client, server *Conn) {
			require.NoError(t, server.Reset())
			require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
			require.Equal(t, io.EOF, readErr(t, client))
			require.ErrorIs(t, writeErr(t, client), syscall.EPIPE)
		},
		"a failed write takes the error, and the next read is a clean EOF": func(t *testing.T, client, server *Conn) {
			require.NoError(t, server.Reset())
			require.ErrorIs(t, writeErr(t, client), syscall.ECONNRESET)
			require.Equal(t, io.EOF, readErr(t, client))
		},
		"octets that had arrived survive": func(t *testing.T, client, server *Conn) {
			mustWrite(t, server, "kept")
			require.NoError(t, server.Reset())
			mustRead(t, client, "kept")
			require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
		},
		"own calls fail": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.Reset())
			require.ErrorIs(t, readErr(t, client), net.ErrClosed)
			require.ErrorIs(t, client.Reset(), net.ErrClosed)
		},
		"a reset after both ends closed does nothing": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.Close())
			require.NoError(t, server.Reset())
		},
	})
}

func TestResetDropsArrivedOctets(t *testing.T) {
	client, server := Pipe(DropOnReset(), Latency(0))
	mustWrite(t, server, "lost")
	require.NoError(t, server.Reset())
	require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
}

func TestResetWithLatency(t *testing.T) {
	second := []Option{Latency(time.Second)}
	inBubble(t, second, map[string]func(t *testing.T, client, server *Conn){
		"octets on their way are lost, arrived ones are not": func(t *testing.T, client, server *Conn) {
			start := time.Now()
			mustWrite(t, server, "kept")
			time.Sleep(1500 * time.Millisecond)
			mustWrite(t, server, "lost")
			require.NoError(t, server.Reset())
			mustRead(t, client, "kept")
			require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
			require.Equal(t, 2500*time.Millisecond, time.Since(start))
		},
		"the end behind lost octets is lost as well": func(t *testing.T, client, server *Conn) {
			mustWrite(t, server, "kept")
			time.Sleep(time.Second / 2)
			mustWrite(t, server, "lost")
			require.NoError(t, server.CloseWrite())
			time.Sleep(time.Second / 2)
			require.NoError(t, server.Reset())
			mustRead(t, client, "kept")
			require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
		},
		"until the reset arrives writing goes on": func(t *testing.T, client, server *Conn) {
			require.NoError(t, server.Reset())
			mustWrite(t, client, "x")
			time.Sleep(time.Second)
			require.ErrorIs(t, writeErr(t, client), syscall.ECONNRESET)
		},
		"octets that meet a closed end are answered with a reset": func(t *testing.T, client, server *Conn) {
			start := time.Now()
			mustWrite(t, client, "x") // arrives at 1 s
			time.Sleep(time.Second / 2)
			require.NoError(t, server.Close()) // known at 1.5 s; the reset at 2 s
			require.Equal(t, io.EOF, readErr(t, client))
			require.Equal(t, 1500*time.Millisecond, time.Since(start))
			mustWrite(t, client, "y")
			time.Sleep(time.Second / 2)
			require.ErrorIs(t, writeErr(t, client), syscall.EPIPE)
		},
	})
}

func TestResetDropsWhatArrivedOnlyOnceItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe(Latency(time.Second), DropOnReset())
		mustWrite(t, server, "abcdef")
		time.Sleep(time.Second)
		require.NoError(t, server.Reset())
		mustRead(t, client, "abc")
		time.Sleep(time.Second)
		require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
	})
}

func TestBlackhole(t *testing.T) {
	inBubble(t, []Option{Buffer(8), Latency(time.Second)}, map[string]func(t *testing.T, client, server *Conn){
		"nothing arrives, nobody learns of a close": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "lost")
			server.Blackhole()
			read := readInBackground(server)
			pending(t, read)
			require.NoError(t, client.Close())
			time.Sleep(time.Hour)
			pending(t, read)
			require.NoError(t, server.Close())
			require.ErrorIs(t, (<-read).err, net.ErrClosed)
		},
		"writes fill the buffer, then wait for the deadline": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "lost")
			client.Blackhole()
			require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Minute)))
			n, err := client.Write(make([]byte, 9))
			require.Equal(t, 4, n)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		},
		"an end that was on its way is lost": func(t *testing.T, client, server *Conn) {
			require.NoError(t, client.Close())
			client.Blackhole()
			read := readInBackground(server)
			time.Sleep(time.Hour)
			pending(t, read)
			server.Close()
			<-read
		},
		"what had arrived can be read": func(t *testing.T, client, server *Conn) {
			mustWrite(t, client, "kept")
			time.Sleep(time.Second)
			client.Blackhole()
			mustRead(t, server, "kept")
		},
	})
}

// A reset that destroys octets does not leave the end of the stream behind them.
func TestDropOnResetIsNoCleanEnd(t *testing.T) {
	client, server := Pipe(DropOnReset())
	mustWrite(t, server, "lost")
	require.NoError(t, server.CloseWrite())
	require.NoError(t, server.Reset())
	require.ErrorIs(t, readErr(t, client), syscall.ECONNRESET)
}
