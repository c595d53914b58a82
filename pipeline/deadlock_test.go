package pipeline

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// responses reads what the tests here send: answers to uploads and documents,
// whole or piece by piece.
type responses struct {
	t       *testing.T
	c       *Conn
	content func(target string) string // what is expected

	resp *Response
	got  []byte
	n    int
}

// readSome reads one head, or some content: whatever has its turn.
func (r *responses) readSome() {
	r.t.Helper()
	if !r.c.ResponseActive() {
		resp, err := r.c.ReadResponse(bg())
		require.NoError(r.t, err)
		require.Equal(r.t, 200, resp.StatusCode)
		r.resp, r.got = resp, nil
	} else {
		p := make([]byte, 8192)
		n, err := r.c.Read(p)
		if err != io.EOF {
			require.NoError(r.t, err)
		}
		r.got = append(r.got, p[:n]...)
	}
	if !r.c.ResponseActive() {
		require.Equal(r.t, fmt.Sprint("/", r.n), r.resp.Target)
		require.True(r.t, string(r.got) == r.content(r.resp.Target), "content of %s differs", r.resp.Target)
		r.n++
	}
}

func (r *responses) readAll(n int) {
	for r.c.Pending() {
		r.readSome()
	}
	require.Equal(r.t, n, r.n)
}

// One goroutine sends 10,000 requests to an origin that reads none before the
// answers to earlier ones are read.
func TestCofuncSendsWithoutLimit(t *testing.T) {
	const n = 10000
	content := func(target string) string { return string(pipetest.Content(target, 200)) }
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		serving(t, server, func(req *http.Request, _ []byte) string { return ok(content(req.URL.Path)) })
		r := responses{t: t, c: c, content: content}
		suspended := 0
		for i := range n {
			send := c.Send(&Request{Target: fmt.Sprint("/", i)})
			for send.Next() {
				suspended++
				r.readSome()
			}
			require.NoError(t, send.Err())
		}
		r.readAll(n)
		require.Positive(t, suspended)
	})
}

const uploadSize = 1 << 20

// uploads is how many uploads are more than all buffers on the way can hold.
var uploads = fewerUnderRace(50)

// upload is the content of the upload to target.
func upload(target string) []byte { return pipetest.Content(target, uploadSize) }

// receipt is the answer to an upload: longer than all buffers on the way.
func receipt(target string) string { return string(pipetest.Content("receipt"+target, 300<<10)) }

func serveUploads(t *testing.T, server net.Conn) {
	serving(t, server, func(req *http.Request, content []byte) string {
		if string(content) != string(upload(req.URL.Path)) {
			return "HTTP/1.1 400 Wrong Octets\r\nContent-Length: 0\r\n\r\n"
		}
		return ok(receipt(req.URL.Path))
	})
}

func TestUploadsByTryWriteAndPoll(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		serveUploads(t, server)
		r := responses{t: t, c: c, content: receipt}
		for i := range uploads {
			target := fmt.Sprint("/", i)
			send := c.Send(&Request{Method: "PUT", Target: target, ContentLength: uploadSize})
			for range send.Each {
				r.readSome()
			}
			require.NoError(t, send.Err())
			for p := upload(target); len(p) > 0; {
				ready, err := c.Poll(bg(), Readable|Writable)
				require.NoError(t, err)
				if ready&Readable != 0 {
					r.readSome()
				}
				if ready&Writable != 0 {
					n, err := c.TryWrite(p[:min(len(p), 8192)])
					require.NoError(t, err)
					require.Positive(t, n, "writable must be a fact")
					p = p[n:]
				}
			}
		}
		r.readAll(uploads)
	})
}

func TestUploadsBySendFile(t *testing.T) {
	eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
		serveUploads(t, server)
		r := responses{t: t, c: c, content: receipt}
		for i := range uploads {
			target := fmt.Sprint("/", i)
			send := c.Send(&Request{Method: "PUT", Target: target, ContentLength: uploadSize})
			for send.Next() {
				r.readSome()
			}
			require.NoError(t, send.Err())
			file := c.SendFile(tempFile(t, upload(target)))
			for file.Next() {
				r.readSome()
			}
			require.NoError(t, file.Err())
		}
		r.readAll(uploads)
	})
}

// Chunked content is cut in other places, and ends by CloseBody.
func TestUploadsOfUnknownLength(t *testing.T) {
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		serveUploads(t, server)
		r := responses{t: t, c: c, content: receipt}
		for i := range 5 {
			target := fmt.Sprint("/", i)
			for _, f := range []func() *Cofunc{
				func() *Cofunc { return c.Send(&Request{Method: "PUT", Target: target, ContentLength: -1}) },
				func() *Cofunc { return c.SendFile(strings.NewReader(string(upload(target)))) },
			} {
				send := f()
				for send.Next() {
					r.readSome()
				}
				require.NoError(t, send.Err())
			}
		}
		r.readAll(5)
	})
}

// The blocking calls need somebody else to read.
func TestBlockingSendsWhileAnotherReceives(t *testing.T) {
	const n = 2000
	content := func(target string) string { return string(pipetest.Content(target, 300)) }
	eachBackend(t, true, func(t *testing.T, c *Conn, server net.Conn) {
		serving(t, server, func(req *http.Request, body []byte) string {
			if req.Method == "PUT" && string(body) != strings.Repeat(req.URL.Path, 100) {
				return "HTTP/1.1 400 Wrong Octets\r\nContent-Length: 0\r\n\r\n"
			}
			return ok(content(req.URL.Path))
		})
		begun := make(chan struct{}, n)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(begun)
			for i := range n {
				target := fmt.Sprint("/", i)
				req := &Request{Target: target}
				if i%3 == 0 {
					req.Method, req.ContentLength = "PUT", int64(100*len(target))
				}
				if err := c.SendRequest(bg(), req); err != nil {
					t.Error(err)
					return
				}
				begun <- struct{}{}
				if i%3 == 0 {
					if _, err := io.WriteString(c, strings.Repeat(target, 100)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		r := responses{t: t, c: c, content: content}
		for range begun {
			before := r.n
			for r.n == before {
				r.readSome()
			}
		}
		wg.Wait()
		require.Equal(t, n, r.n)
	})
}

// fewerUnderRace is how often something is repeated that takes n repetitions.
func fewerUnderRace(n int) int {
	if underRace {
		return max(1, n/4)
	}
	return n
}
