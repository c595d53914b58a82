package pipeline

import (
	"context"
	"io"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/httppipe/httppipe/wire"
)

// A Request is what [Conn.Send] sends.
type Request struct {
	Method string // "" means GET
	Target string // the request-target (RFC 9112, Section 3.2), for example "/index.html"
	Host   string // "" means Options.Host
	Header http.Header

	// Body is content that the request is sent with.
	Body []byte

	// ContentLength announces content that the caller sends afterwards, by Write,
	// TryWrite or SendFile: its length in octets, or -1 for content of unknown
	// length, which is sent in chunks. It must be zero when Body is used.
	ContentLength int64

	// Trailer has the names of fields that will follow chunked content.
	Trailer http.Header

	// ExpectContinue holds the content back until the origin asks for it
	// (RFC 9110, Section 10.1.1): the first ReadResponse for this request returns
	// 100, or else its final response. In either case, or after SkipContinue, the
	// content is sent next, for it was announced; who does not want to send it
	// any more closes the Conn. Not with Body.
	ExpectContinue bool

	// Close says that this is the last request on the connection.
	Close bool
}

// head makes the request's head; the error is a [*StateError] or comes from
// [wire.RequestHead.Validate].
func (r *Request) head(defaultHost string) (*wire.RequestHead, error) {
	h := &wire.RequestHead{
		Method:  r.Method,
		Target:  r.Target,
		Host:    r.Host,
		Header:  r.Header,
		Close:   r.Close || httpguts.HeaderValuesContainsToken(r.Header["Connection"], "close"),
		Trailer: r.Trailer,
	}
	if h.Method == "" {
		h.Method = http.MethodGet
	}
	if h.Host == "" {
		h.Host = defaultHost
	}
	switch {
	case len(r.Body) > 0 && r.ContentLength != 0:
		return nil, &StateError{"Send", "both Body and ContentLength are set"}
	case r.ContentLength < 0:
		h.Framing.Kind = wire.Chunked
	case r.ContentLength > 0, r.Body != nil, expectsContent(h.Method):
		h.Framing = wire.Framing{Kind: wire.Length, Length: r.ContentLength + int64(len(r.Body))}
	}
	if r.ExpectContinue {
		if r.ContentLength == 0 {
			return nil, &StateError{"Send", "ExpectContinue without content that follows"}
		}
		h.Extra = expectField
	}
	return h, h.Validate()
}

var expectField = http.Header{"Expect": {"100-continue"}}

// expectsContent says for which methods no content is announced as content of
// length zero (RFC 9110, Section 8.6).
func expectsContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// Send prepares a request and returns the cofunction that sends it. Nothing is
// sent, and the request takes no place in the order, before it is first resumed.
// Content announced by ContentLength is sent by the caller when it is done.
func (c *Conn) Send(r *Request) *Cofunc {
	head, err := r.head(c.opts.Host)
	if err != nil {
		return &Cofunc{c: c, err: err, state: cofuncDone}
	}
	f := &Cofunc{c: c, ex: &exchange{method: head.Method, target: head.Target}, head: head, hold: r.ExpectContinue}
	c.via.prepare(head)
	if len(r.Body) > 0 {
		f.content = &memory{r.Body}
	}
	return f
}

// SendRequest sends a request to its end without looking at responses. When the
// origin reads no further before its answers are read, somebody else has to
// read them: another goroutine, or the cofunction of [Conn.Send] instead.
//
// If ctx ends it with a part of Body left, nothing more can be sent.
func (c *Conn) SendRequest(ctx context.Context, r *Request) error {
	return c.Send(r).run(ctx)
}

// SendFile prepares to send what r yields as the content of the current request,
// up to its announced length, or up to the end of r if that is not known, and
// returns the cofunction that does it. If r ends too early that is a
// [*StateError], and the rest can still be written.
//
// Content of a file goes out by sendfile(2) where that can be, from the file's
// position on. Reading from r may block.
func (c *Conn) SendFile(r io.Reader) *Cofunc {
	return &Cofunc{c: c, state: cofuncFile, file: r}
}

// TryWrite hands over the beginning of p as content of the current request, as
// much as fits now. It never blocks; n is 0 when nothing fits: [Conn.Poll] for
// [Writable] waits until something does. Writing more than was announced is a
// [*StateError], and sends nothing of p.
//
// A few of the n octets may be kept back until there is room. Whatever is called
// next on the Conn hands them over, reading and polling included.
func (c *Conn) TryWrite(p []byte) (n int, err error) {
	c.takeHalves(Writable)
	defer c.dropHalves(Writable)
	return c.tryWrite(p)
}

// Write sends p as content of the current request. It blocks until all of p is
// handed over, and does not look at responses: see [Conn.SendRequest].
func (c *Conn) Write(p []byte) (n int, err error) {
	return c.WriteContext(context.Background(), p)
}

// WriteContext is Write, and waits no longer than ctx.
func (c *Conn) WriteContext(ctx context.Context, p []byte) (n int, err error) {
	c.takeHalves(Writable)
	defer c.dropHalves(Writable)
	for {
		k, err := c.tryWrite(p[n:])
		n += k
		if err != nil {
			return n, err
		}
		done, err := c.push(false)
		switch {
		case err != nil, done && n == len(p):
			return n, err
		case done:
			continue
		}
		if err := c.move(ctx, nil, c.rest()); err != nil {
			return n, err
		}
	}
}

// CloseBody ends content of unknown length, with the trailer fields given, if
// any. After content of known length it only checks that all of it was written:
// if not, that is a [*StateError], and the rest can still be written. It never
// blocks; see [Conn.TryWrite] for what is kept back.
func (c *Conn) CloseBody(trailer http.Header) error {
	if err := wire.ValidateTrailer(trailer); err != nil {
		return err
	}
	c.takeHalves(Writable)
	defer c.dropHalves(Writable)
	c.mu.Lock()
	ex := c.sending
	c.mu.Unlock()
	if err := c.endContent(ex, trailer); err != nil {
		return err
	}
	_, err := c.push(false)
	return err
}

// SkipContinue lets the content of a request with ExpectContinue be sent although
// no 100 has come, as RFC 9110, Section 10.1.1 asks of a client that has waited
// long enough.
func (c *Conn) SkipContinue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseHold()
}
