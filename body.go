package httppipe

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// response makes the http.Response of an exchange whose final head has arrived.
func (x *exchange) response(rt *roundTrip) (*http.Response, error) {
	call, resp := &x.call, &x.resp
	head := &call.Response
	transfer, err := head.TakeTransfer(call.Request.Method, call.Framing)
	if err != nil {
		call.Close()
		x.conn.d.Retire()
		return nil, rt.broken(err)
	}
	resp.Status = head.Status
	resp.StatusCode = head.StatusCode
	resp.Proto = head.Proto
	resp.ProtoMajor, resp.ProtoMinor = head.ProtoMajor, head.ProtoMinor
	resp.Header = head.Header
	resp.ContentLength = transfer.ContentLength
	resp.TransferEncoding = transfer.TransferEncoding
	resp.Close = transfer.Close
	resp.Trailer = transfer.Trailer
	resp.TLS = x.conn.dialed.tlsState
	if resp.Close && !x.call.Request.Close {
		x.conn.learnClose(x)
	}
	x.conn.heedStreamed(x)
	if x.opens() {
		x.conn.open(x)
	}
	x.openBody(rt)
	if rt.out.gzip && resp.Body != http.NoBody && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		resp.Body = &gzipBody{body: resp.Body}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
	return resp, nil
}

// openBody sets up x.resp.Body.
func (x *exchange) openBody(rt *roundTrip) {
	b := &x.body
	b.x = x
	content, complete := x.call.Complete()
	switch {
	case x.call.Framing.Kind == wire.Tunnel:
		b.follow(rt.ctx)
		x.resp.Body = &tunnel{b}
	case complete && len(content) == 0 && x.call.Trailer() == nil && x.resp.ContentLength >= 0 || x.call.Request.Method == http.MethodHead:
		x.resp.Body = http.NoBody
		x.tracePutIdle(rt)
	case complete:
		b.mem, b.complete = content, true
		x.resp.Body = b
		x.tracePutIdle(rt)
	default:
		b.trace = rt
		b.follow(rt.ctx)
		x.resp.Body = b
	}
}

// A responseBody is the content of a response: what has arrived along with the
// head, or what is still to be read from the connection.
type responseBody struct {
	x        *exchange
	trace    *roundTrip
	stop     func() bool // ends the watch over the request's context
	complete bool        // mem is all there is

	mu     sync.Mutex // guards following; not held during I/O
	mem    []byte
	closed bool
	ended  bool // the end was seen
}

// follow has the end of the request's context end the reading.
func (b *responseBody) follow(ctx context.Context) {
	call := &b.x.call
	if call.Cancel != nil {
		done := make(chan struct{})
		b.stop = sync.OnceValue(func() bool { close(done); return true })
		go func() {
			select {
			case <-call.Cancel:
				call.CloseWithError(pipeline.ErrCanceled)
			case <-ctx.Done():
				awaitClientTimeout(ctx, call.Cancel)
				call.CloseWithError(context.Cause(ctx))
			case <-done:
			}
		}()
	} else if ctx.Done() != nil {
		b.stop = context.AfterFunc(ctx, func() { call.CloseWithError(context.Cause(ctx)) })
	}
}

var errReadAfterClose = errors.New("http: read on closed response body")

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return 0, errReadAfterClose
	case b.complete:
		defer b.mu.Unlock()
		n = copy(p, b.mem)
		if b.mem = b.mem[n:]; len(b.mem) == 0 {
			b.end()
			return n, io.EOF
		}
		return n, nil
	}
	b.mu.Unlock()
	n, err = b.x.call.Read(p)
	if err == nil {
		return n, nil
	}
	b.stopWatch()
	if err == io.EOF {
		b.mu.Lock()
		first := !b.ended
		b.end()
		b.mu.Unlock()
		if first && b.trace != nil {
			b.x.tracePutIdle(b.trace)
		}
	}
	return n, contentError(err)
}

// end takes note that the content has ended, and adds the trailer section to the
// response; b.mu is held.
func (b *responseBody) end() {
	if b.ended {
		return
	}
	b.ended = true
	for name, values := range b.x.call.Trailer() {
		if b.x.resp.Trailer == nil {
			b.x.resp.Trailer = make(http.Header)
		}
		b.x.resp.Trailer[name] = values
	}
}

// Close implements io.Closer. It does not block.
func (b *responseBody) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first && !b.complete {
		b.stopWatch()
		b.x.call.Close()
	}
	return nil
}

func (b *responseBody) stopWatch() {
	if b.stop != nil {
		b.stop()
	}
}

// A tunnel is the body of a 101 response, or of a 2xx one to CONNECT: both
// directions of a connection that is no longer HTTP. Unlike other bodies it can
// be written to.
type tunnel struct{ *responseBody }

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.x.call.Write(p)
	return n, contentError(err)
}

// A gzipBody is a body whose gzip coding is taken off, because the Transport asked
// for it.
type gzipBody struct {
	body io.ReadCloser
	zr   *gzip.Reader
	err  error // sticky

	closed atomic.Bool // zr may hold content that was decoded before
}

// Read implements io.Reader. The gzip header is not looked at before the first
// Read, so that RoundTrip does not wait for it.
func (g *gzipBody) Read(p []byte) (n int, err error) {
	if g.closed.Load() {
		return 0, errReadAfterClose
	}
	if g.err != nil {
		return 0, g.err
	}
	if g.zr == nil {
		g.zr, g.err = gzip.NewReader(g.body)
		if g.err != nil {
			return 0, g.err
		}
	}
	return g.zr.Read(p)
}

// Close implements io.Closer.
func (g *gzipBody) Close() error {
	g.closed.Store(true)
	return g.body.Close()
}
