package pipeline

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// discardConn takes everything and yields nothing.
type discardConn struct{ net.Conn }

func (discardConn) Read([]byte) (int, error)    { return 0, io.EOF }
func (discardConn) Write(p []byte) (int, error) { return len(p), nil }
func (discardConn) Close() error                { return nil }

// received is what the server read of one request.
type received struct {
	req     *http.Request
	content []byte
}

// record answers every request with 204, and hands them over.
func record(t *testing.T, server net.Conn) <-chan received {
	got := make(chan received, 100)
	serving(t, server, func(req *http.Request, content []byte) string {
		got <- received{req, content}
		return "HTTP/1.1 204 No Content\r\n\r\n"
	})
	return got
}

func wantState(t *testing.T, err error, reason string) {
	t.Helper()
	var state *StateError
	require.ErrorAs(t, err, &state)
	require.Contains(t, err.Error(), reason)
}

func TestFixedLength(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		_, err := c.TryWrite([]byte("x"))
		wantState(t, err, "no content is owed")
		wantState(t, fileErr(c, strings.NewReader("x")), "no content is owed")

		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 6}))
		_, err = c.TryWrite([]byte("seven!!"))
		wantState(t, err, "more content")
		wantState(t, c.CloseBody(nil), "less content")
		wantState(t, c.SendRequest(bg(), &Request{Target: "/"}), "not complete")
		wantState(t, fileErr(c, strings.NewReader("abc")), "less content")
		n, err := c.Write([]byte("def"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		_, err = c.Write([]byte("g"))
		wantState(t, err, "no content is owed")
		require.NoError(t, c.CloseBody(nil))
		wantResponse(t, c, "/", 204, "")
		require.Equal(t, "abcdef", string((<-got).content))

		// The connection is as good as before.
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/next"}))
		wantResponse(t, c, "/next", 204, "")
	})
}

// fileErr runs a cofunction to its end.
func fileErr(c *Conn, r io.Reader) error {
	file := c.SendFile(r)
	for file.Next() {
	}
	return file.Err()
}

func TestEmptyContentIsAnnounced(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/"}))
		require.NoError(t, fileErr(c, strings.NewReader("")), "an empty file")
		wantResponse(t, c, "/", 204, "")
		r := <-got
		require.Empty(t, r.content)
		require.Equal(t, "0", r.req.Header.Get("Content-Length"))
		require.EqualValues(t, 0, r.req.ContentLength)
	})
}

func TestChunkedContentWithTrailer(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		require.NoError(t, c.SendRequest(bg(), &Request{
			Method: "PUT", Target: "/", ContentLength: -1, Trailer: http.Header{"X-Sum": nil},
		}))
		content := pipetest.Content("chunks", 100_000)
		for p := content; len(p) > 0; {
			n, err := c.Write(p[:min(len(p), 33_333)])
			require.NoError(t, err)
			p = p[n:]
		}
		_, err := c.Write(nil)
		require.NoError(t, err, "no octets are no end")
		require.Error(t, c.CloseBody(http.Header{"X-Sum": {"a\r\nb"}}))
		require.NoError(t, c.CloseBody(http.Header{"X-Sum": {"42"}}))
		_, err = c.Write([]byte("x"))
		wantState(t, err, "no content is owed")
		wantResponse(t, c, "/", 204, "")
		r := <-got
		sameOctets(t, content, r.content)
		require.Equal(t, "42", r.req.Trailer.Get("X-Sum"))
	})
}

func TestConnSendsSmallContentWithItsHead(t *testing.T) {
	client, server := pipetest.TCPPair(t)
	c := NewConn(client, &Options{Host: "origin.test"})
	defer c.Close()
	require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", Body: []byte("small")}))
	p := make([]byte, 1000)
	n, err := server.Read(p)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(p[:n]), "\r\n\r\nsmall"), "%q", p[:n])
}

// The server compares octets: a sendfile that sends zeros, or the right file from
// the wrong place, fails here.
func TestSendFileOctets(t *testing.T) {
	content := pipetest.Content("file", 3<<20)
	for _, at := range []int64{0, 1, 4097, 3<<20 - 1, 3 << 20} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			got := record(t, server)
			f := tempFile(t, content)
			_, err := f.Seek(at, io.SeekStart)
			require.NoError(t, err)
			require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 3<<20 - at}))
			require.NoError(t, fileErr(c, f))
			wantResponse(t, c, "/", 204, "")
			sameOctets(t, content[at:], (<-got).content)
		})
	}
}

func TestSendFileOfUnknownLength(t *testing.T) {
	content := pipetest.Content("file", 1<<20+1)
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: -1}))
		require.NoError(t, fileErr(c, tempFile(t, content)))
		wantResponse(t, c, "/", 204, "")
		sameOctets(t, content, (<-got).content)
	})
}

func TestSendFileOfShortFile(t *testing.T) {
	for _, size := range []int{0, 1, 5 << 20} {
		content := pipetest.Content("file", size)
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			got := record(t, server)
			require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: int64(size) + 4}))
			wantState(t, fileErr(c, tempFile(t, content)), "less content")
			require.NoError(t, fileErr(c, strings.NewReader("rest, and more")))
			wantResponse(t, c, "/", 204, "")
			sameOctets(t, append(bytes.Clone(content), "rest"...), (<-got).content)
		})
	}
}

func TestSendFileSendsWhatWasAnnounced(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		f := tempFile(t, []byte("abcdef"))
		for _, want := range []string{"abc", "def"} {
			require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 3}))
			require.NoError(t, fileErr(c, f))
			wantResponse(t, c, "/", 204, "")
			require.Equal(t, want, string((<-got).content))
		}
	})
}

func TestSendFileThatCannotBeRead(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		f := tempFile(t, []byte("abc"))
		f.Close()
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 3}))
		require.ErrorIs(t, fileErr(c, f), os.ErrClosed)
	})
}

// Files take sendfile(2) on plain TCP, and only there.
func TestSourceOfFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sendfile is used on Linux only")
	}
	for _, b := range backends {
		client, _ := b.pair(t, false)
		c := NewConn(client, nil)
		defer c.Close()
		_, reads := newSource(c, tempFile(t, []byte("abc")), 3).(*stream)
		require.Equal(t, b.name != "raw", reads, b.name)
		_, reads = newSource(c, strings.NewReader("abc"), 3).(*stream)
		require.True(t, reads)
	}
	// What is traced is seen, and so has to be read.
	client, _ := pipetest.TCPPair(t)
	c := NewConn(client, &Options{Trace: io.Discard})
	defer c.Close()
	_, reads := newSource(c, tempFile(t, []byte("abc")), 3).(*stream)
	require.True(t, reads)
}

func TestSendFileFromPipe(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		got := record(t, server)
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		go func() {
			io.WriteString(w, "abc")
			w.Close()
		}()
		require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 3}))
		require.NoError(t, fileErr(c, r))
		wantResponse(t, c, "/", 204, "")
		require.Equal(t, "abc", string((<-got).content))
	})
}

// An answer that comes in mid-upload suspends it, however fast the peer reads.
func TestEarlyAnswerIsNoticedByAFastUpload(t *testing.T) {
	content := pipetest.Content("file", 64<<20)
	for _, source := range []string{"file", "stream", "memory"} {
		t.Run(source, func(t *testing.T) {
			eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
				br := bufio.NewReader(server)
				read := make(chan int64, 1)
				go func() {
					if _, err := http.ReadRequest(br); err == nil {
						io.WriteString(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					}
					n, _ := io.Copy(io.Discard, br)
					read <- n
				}()
				req := &Request{Method: "PUT", Target: "/", ContentLength: int64(len(content))}
				var r io.Reader = tempFile(t, content)
				switch source {
				case "stream":
					r = bytes.NewReader(content)
				case "memory":
					req.ContentLength, req.Body = 0, content
				}
				up := c.Send(req)
				early := up.Next()
				if source != "memory" && !early {
					require.NoError(t, up.Err())
					up = c.SendFile(r)
					early = up.Next()
				}
				require.True(t, early)
				wantResponse(t, c, "/", 413, "")
				c.Close()
				require.Less(t, <-read, int64(len(content)))
			})
		})
	}
}
