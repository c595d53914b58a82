package pipeline

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestContentIsReadFromTheConnection(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		content := string(pipetest.Content("/a", 300<<10))
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 307200\r\n\r\n" + content[:10])
		a.wantHead(200)
		r.origin.Send(content[10:] + answerWith("B"))
		a.wantContent(content)
		b.wantContent("B")
		r.wantUsable()
	})
}

func TestChunkedContentArrivesInPieces(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc")
		a.wantHead(200)
		buf := make([]byte, 10)
		n, err := a.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "abc", string(buf[:n]))
		r.origin.Send("\r\n3\r\ndef\r\n0\r\nA: b\r\n\r\n")
		a.wantContent("def")
		require.Equal(t, "b", a.Trailer().Get("A"))
		n, err = a.Read(buf)
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
		r.wantUsable()
	})
}

func TestTruncatedContent(t *testing.T) {
	for name, head := range map[string]string{
		"length":  "Content-Length: 10\r\n\r\nabc",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
		"between": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				a, b := r.get("/a"), r.get("/b")
				r.origin.WantRequests("GET /a", "GET /b")
				r.origin.Send("HTTP/1.1 200 OK\r\n" + head)
				r.origin.Conn(0).CloseWrite()
				a.wantHead(200)
				got, err := io.ReadAll(&a.Call)
				require.Equal(t, "abc", string(got))
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				<-b.done
				require.Error(t, b.err)
				r.wantEnded()
			})
		})
	}
}

func TestContentUntilClose(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Send("HTTP/1.1 200 OK\r\n\r\nabc")
		a.wantHead(200)
		r.origin.Send("def")
		r.origin.Conn(0).CloseWrite()
		a.wantContent("abcdef")
		r.wantEnded()
	})
}

// Those behind content that nobody reads are sent elsewhere, although nothing
// else happens on the connection.
func TestUnreadContentStallsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
		begin := time.Now()
		failed := b.wantFailure(ErrStalled)
		require.False(t, failed.Head || failed.Unsent)
		require.Equal(t, stallWait, time.Since(begin))
		require.False(t, r.Usable())
		r.origin.Send("def" + answerWith("B"))
		a.wantContent("abcdef")
		r.wantEnded()
	})
}

// Whoever reads on, and not too slowly, is waited for.
func TestContentThatIsReadOnDoesNotStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n")
		a.wantHead(200)
		b := r.get("/b")
		buf := make([]byte, stallOctets)
		for range 10 {
			time.Sleep(stallWait * 9 / 10)
			r.origin.Send(strings.Repeat("x", stallOctets))
			_, err := io.ReadFull(&a.Call, buf)
			require.NoError(t, err)
		}
		r.origin.Send(answerWith("B"))
		b.wantContent("B")
		require.Empty(t, r.ended)
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n" + strings.Repeat("x", 1000))
		a.wantHead(200)
		b := r.get("/b")
		for range 10 {
			a.Read(make([]byte, 1))
			time.Sleep(stallWait / 5)
		}
		b.wantFailure(ErrStalled)
	})
}

func TestClosedContent(t *testing.T) {
	t.Run("that has arrived", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.nc.(*memnet.Conn).SetMaxRead(64)
			a := r.get("/a")
			r.origin.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + strings.Repeat("x", 100) + "\r\n0\r\n\r\n")
			a.wantHead(200)
			require.NoError(t, a.Close())
			require.NoError(t, a.Close())
			_, err := a.Read(make([]byte, 1))
			require.Equal(t, errBodyClosed, err)
			r.eventually(func() bool { return r.timesLeft(a) == 1 || len(r.ended) == 1 }, "it has left")
		})
	})
	t.Run("that is read by those behind", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a, b := r.get("/a"), r.get("/b")
			r.origin.WantRequests("GET /a", "GET /b")
			r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			a.wantHead(200)
			require.NoError(t, a.Close())
			r.origin.Send(strings.Repeat("x", 1000) + answerWith("B"))
			b.wantContent("B")
			r.wantUsable()
		})
	})
	t.Run("that nobody waits behind", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.get("/a")
			r.origin.WantRequests("GET /a")
			r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			a.wantHead(200)
			require.NoError(t, a.Close())
			r.wantEnded()
		})
	})
	t.Run("that is too much", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a, b := r.get("/a"), r.get("/b")
			r.origin.WantRequests("GET /a", "GET /b")
			r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
			a.wantHead(200)
			require.NoError(t, a.Close())
			b.wantFailure(ErrRetired)
			r.wantEnded()
		})
	})
	t.Run("that does not come", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			a, b := r.get("/a"), r.get("/b")
			r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			a.wantHead(200)
			require.NoError(t, a.Close())
			begin := time.Now()
			b.wantFailure(ErrRetired)
			require.Equal(t, dropWait, time.Since(begin))
		})
	})
}

func TestCloseEndsABlockedRead(t *testing.T) {
	why := errors.New("a reason")
	for name, test := range map[string]struct {
		close func(*job)
		want  error
	}{
		"Close":          {func(j *job) { j.Close() }, errBodyClosed},
		"CloseWithError": {func(j *job) { j.CloseWithError(why) }, why},
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				a, b := r.get("/a"), r.get("/b")
				r.origin.WantRequests("GET /a", "GET /b")
				r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				a.wantHead(200)
				read := make(chan error)
				go func() {
					_, err := a.Read(make([]byte, 1))
					read <- err
				}()
				a.awaitRead()
				test.close(a)
				require.Equal(t, test.want, <-read)
				_, err := a.Read(make([]byte, 1))
				require.Equal(t, test.want, err)
				r.origin.Send("abcd" + answerWith("B"))
				b.wantContent("B")
				r.wantUsable()
			})
		})
	}
}

func TestEndOfConnectionEndsABlockedRead(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
		a.wantHead(200)
		read := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		a.awaitRead()
		r.Close()
		require.ErrorIs(t, <-read, ErrConnectionClosed)
	})
}

// The memory that arrived with the head is the caller's, whatever becomes of the
// connection.
func TestCompleteContentOutlivesTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		r.origin.Send(answerWith("A"))
		a.wantHead(200)
		r.Close()
		require.True(t, a.Complete())
		a.wantContent("A")
		synctest.Wait()
	})
}
