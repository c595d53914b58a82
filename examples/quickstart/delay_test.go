package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Each octet leaves exactly one delay after it came, also when many are on
// their way: a delay must not become a limit on throughput.
func TestRelayDelaysWithoutLimitingThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, chunks = 25 * time.Millisecond, 500
		in, src := net.Pipe()
		dst, out := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- relay(dst, src, delay); dst.Close() }()

		begun := time.Now()
		chunk := bytes.Repeat([]byte("0123456789abcdef"), chunkSize/16)
		go func() {
			for range chunks {
				in.Write(chunk) // all at the same instant of the bubble's clock
			}
			in.Close()
		}()
		got, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, bytes.Repeat(chunk, chunks)) {
			t.Errorf("%d octets came out, not the %d that went in", len(got), chunks*len(chunk))
		}
		if took := time.Since(begun); took != delay {
			t.Errorf("everything took %v, want one delay of %v", took, delay)
		}
		if err := <-ended; err != nil {
			t.Errorf("relay: %v, want nil after an orderly end", err)
		}
	})
}

func TestRelayKeepsTheSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 25 * time.Millisecond
		in, src := net.Pipe()
		dst, out := net.Pipe()
		go func() { relay(dst, src, delay); dst.Close() }()
		begun := time.Now()
		go func() {
			for range 3 {
				in.Write([]byte("x"))
				time.Sleep(10 * time.Millisecond)
			}
			in.Close()
		}()
		for i := range 3 {
			if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			want := time.Duration(i)*10*time.Millisecond + delay
			if at := time.Since(begun); at != want {
				t.Errorf("octet %d came out at %v, want %v", i, at, want)
			}
		}
		if _, err := out.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("at the end: %v, want EOF", err)
		}
	})
}

func TestRelayReportsAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, src := net.Pipe()
		dst, out := net.Pipe()
		out.Close()
		go func() { // more than the queue holds, so that the reader is stuck in it
			for range 2 * maxChunks {
				in.Write([]byte("x"))
			}
		}()
		if err := relay(dst, src, time.Millisecond); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("relay: %v, want %v", err, io.ErrClosedPipe)
		}
		src.Close() // ends the reader; the bubble reports it if not
	})
}

// A client that closes is seen by the origin, and the other way round.
func TestLinkPassesOnTheEnd(t *testing.T) {
	origin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer origin.Close()
	l, err := newLink(origin.Addr().String(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := l.dial(t.Context(), "tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := origin.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	io.WriteString(client, "question")
	client.(*net.TCPConn).CloseWrite()
	wantAll(t, server, "question")
	io.WriteString(server, "answer")
	server.Close()
	wantAll(t, client, "answer")
}

func wantAll(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q and the end", got, err, want)
	}
}
