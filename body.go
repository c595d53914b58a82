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

// A reply is what RoundTrip returns, in one piece of memory. If the content is
// complete nothing in it leads back to the roundTrip, which can be used again.
type reply struct {
	resp http.Response
	body responseBody
}

// response makes the http.Response of an exchange whose final head has arrived.
func (x *exchange) response(rt *roundTrip) (*http.Response, error) {
	call := &x.call
	head := &call.Response
	transfer, err := head.TakeTransfer(call.Request.Method, call.Framing)
	if err != nil {
		call.Close()
		x.conn.d.Retire()
		return nil, rt.broken(err)
	}
	r := new(reply)
	resp := &r.resp
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
	if !resp.Close && x.opens() {
		x.conn.open(x)
	}
	r.openBody(rt, x)
	if rt.out.gzip && resp.Body != http.NoBody && isGzip(head.Values("Content-Encoding")) {
		resp.Body = &gzipBody{body: resp.Body}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
	return resp, nil
}

// isGzip reports whether a content has the gzip coding, as net/http sees it.
func isGzip(codings []string) bool {
	return len(codings) > 0 && strings.EqualFold(codings[0], "gzip")
}

// openBody sets up the body of x's response.
func (r *reply) openBody(rt *roundTrip, x *exchange) {
	resp, b := &r.resp, &r.body
	b.resp = resp
	switch {
	case x.call.Framing.Kind == wire.Tunnel:
		b.x = x
		b.follow(rt.ctx)
		resp.Body = &tunnel{b}
	case x.call.Complete():
		b.mem, b.trailer = x.call.Received(), x.call.Trailer()
		resp.Body = b
		if b.mem.Len() == 0 && b.trailer == nil && resp.ContentLength >= 0 || x.call.Request.Method == http.MethodHead {
			resp.Body = http.NoBody
		}
		if x.call.Gone() {
			rt.answered = x
		}
		x.tracePutIdle(rt)
	default:
		b.x, b.rt = x, rt
		b.follow(rt.ctx)
		resp.Body = b
	}
}

// A responseBody is the content of a response: what has arrived along with the
// head, or what is still to be read from the connection.
type responseBody struct {
	resp *http.Response
	x    *exchange   // whose content is still to be read; nil if mem is all there is
	rt   *roundTrip  // for the trace, which wants to know the end
	stop func() bool // ends the watch over the request's context

	mu      sync.Mutex // guards following; not held during I/O
	mem     pipeline.Content
	trailer http.Header // of mem
	closed  bool
	ended   bool // the end was seen
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
	case b.x == nil:
		n = b.mem.Take(p)
		if b.mem.Len() == 0 {
			b.mem.Release()
			b.end(b.trailer)
			err = io.EOF
		}
		b.mu.Unlock()
		return n, err
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
		b.end(b.x.call.Trailer())
		b.mu.Unlock()
		if first && b.rt != nil {
			b.x.tracePutIdle(b.rt)
		}
	}
	return n, contentError(err)
}

// end takes note that the content has ended, and adds the trailer section to the
// response; b.mu is held.
func (b *responseBody) end(trailer http.Header) {
	if b.ended {
		return
	}
	b.ended = true
	for name, values := range trailer {
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		b.resp.Trailer[name] = values
	}
}

// Close implements io.Closer. It does not block.
func (b *responseBody) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mem.Release()
	b.mu.Unlock()
	if first && b.x != nil {
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
