package pipeline

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// fastLink is a link to a peer that takes everything at once, and answers when it
// has got a number of octets.
type fastLink struct {
	link
	got    int64
	after  int64
	answer string
}

func (l *fastLink) transfer(in, out []byte, block bool) (m moved) {
	m.out = len(out)
	if l.got += int64(len(out)); l.got >= l.after {
		m.in = copy(in, l.answer)
		l.answer = l.answer[m.in:]
	}
	return m
}

func (l *fastLink) catchUp()            {}
func (l *fastLink) unsent() int         { return 0 }
func (l *fastLink) interrupt(_, _ bool) {}
func (l *fastLink) writeError() error   { return nil }
func (l *fastLink) close() error        { return nil }

// However fast the peer reads, an answer in mid-upload suspends the upload soon.
func TestUploadThatNeverBlocksIsSuspended(t *testing.T) {
	const after = 1 << 20
	for _, source := range []string{"stream", "memory"} {
		l := &fastLink{after: after, answer: "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"}
		c := NewConn(discardConn{}, nil)
		c.link.close()
		c.link = l
		req := &Request{Method: "PUT", Target: "/", Host: "h", ContentLength: 1 << 40}
		if source == "memory" {
			req.ContentLength, req.Body = 0, make([]byte, 64<<20)
		}
		up := c.Send(req)
		suspended := up.Next()
		if source == "stream" {
			require.False(t, suspended)
			up = c.SendFile(zeros{})
			suspended = up.Next()
		}
		require.True(t, suspended, source)
		require.Less(t, l.got, int64(after+2*turn), source)
		wantResponse(t, c, "/", 413, "")
	}
}

// An interrupt that comes before the wait ends it, and is used up by it; attempts
// that do not wait leave it alone.
func TestInterruptIsKeptForTheNextWait(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, false)
			l := newLink(client)
			defer l.close()
			in := make([]byte, 100)
			for range 3 {
				l.interrupt(true, true)
				l.interrupt(true, true)
				require.True(t, l.transfer(in, nil, false).nothing())
				require.True(t, l.transfer(in, nil, true).nothing())
			}
			send(t, server, "octets")
			for m := (moved{}); m.in == 0; {
				m = l.transfer(in, nil, true)
				require.NoError(t, m.inErr)
			}
			require.Equal(t, "octets", string(in[:6]))
		})
	}
}

// Both directions at once: each that can move does, and no octet is lost.
func TestLinkMovesBothWaysAtOnce(t *testing.T) {
	const size = 8 << 20
	there, back := pipetest.Content("there", size), pipetest.Content("back", size)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			client, server := b.pair(t, false)
			l := newLink(client)
			defer l.close()
			go server.Write(back)
			arrived := make(chan []byte, 1)
			go func() {
				p := make([]byte, size)
				n, _ := io.ReadFull(server, p)
				arrived <- p[:n]
			}()
			var got bytes.Buffer
			in := make([]byte, 10_000)
			for rest := there; len(rest) > 0 || got.Len() < size || l.unsent() > 0; {
				m := l.transfer(in, rest[:len(rest):len(rest)], true)
				require.NoError(t, m.inErr)
				require.NoError(t, m.outErr)
				got.Write(in[:m.in])
				rest = rest[m.out:]
				if got.Len() == size {
					in = nil
				}
			}
			sameOctets(t, back, got.Bytes())
			sameOctets(t, there, <-arrived)
			require.EqualValues(t, size, l.delivered())
		})
	}
}
