package pipeline

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/httppipe/httppipe/wire"
)

// A Response is a response head, and says which request it answers.
type Response struct {
	Method string // of the request
	Target string // of the request

	Proto      string // for example "HTTP/1.1"
	StatusCode int
	Reason     string // may be empty
	Header     http.Header

	// ContentLength is the number of octets of content that Read will return, or
	// -1 if that is not known.
	ContentLength int64
}

func newResponse(ex *exchange, head wire.ResponseHead, framing wire.Framing) *Response {
	r := &Response{Proto: head.Proto, StatusCode: head.StatusCode, Header: head.Header, ContentLength: framing.Length}
	_, r.Reason, _ = strings.Cut(head.Status, " ")
	if ex != nil {
		r.Method, r.Target = ex.method, ex.target
	}
	if framing.Kind > wire.Length {
		r.ContentLength = -1
	}
	return r
}

// ReadResponse reads the head of the next response, in the order in which the
// requests were sent. It waits until the whole head has arrived, or ctx ends.
// Interim responses are passed over, except for the 100 that a request with
// ExpectContinue waits for.
//
// Content left of the response before is a [*StateError]: read it, or call
// Discard.
func (c *Conn) ReadResponse(ctx context.Context) (*Response, error) {
	c.takeHalves(Readable)
	defer c.dropHalves(Readable)
	for {
		resp, err := c.tryReadResponse()
		if err != ErrWouldBlock {
			return resp, err
		}
		if err := c.await(ctx, Readable); err != nil {
			return nil, err
		}
	}
}

// TryReadResponse is ReadResponse without waiting: the error is [ErrWouldBlock]
// when the head has not arrived completely.
func (c *Conn) TryReadResponse() (*Response, error) {
	c.takeHalves(Readable)
	defer c.dropHalves(Readable)
	return c.tryReadResponse()
}

func (c *Conn) tryReadResponse() (*Response, error) {
	if err := c.checkReadResponse(); err != nil {
		return nil, err
	}
	for {
		if resp, err := c.nextResponse(); resp != nil || err != nil {
			return resp, err
		}
		if c.rcv.err != nil {
			err := c.rcv.lost()
			c.fail(err)
			return nil, err
		}
		m := c.link.transfer(c.rcv.space(), nil, false)
		c.rcv.received(m)
		if m.nothing() {
			return nil, ErrWouldBlock
		}
	}
}

// checkReadResponse reports whether a response can come.
func (c *Conn) checkReadResponse() error {
	c.mu.Lock()
	state, pending, closing := c.receive, c.inflight.len() > 0, c.closing
	c.mu.Unlock()
	var err error
	switch {
	case state == receiveContent:
		return &StateError{"ReadResponse", "the response before has content left"}
	case state == receiveTunnel:
		return &StateError{"ReadResponse", "the connection no longer speaks HTTP"}
	case state == receiveClosed:
		return c.failed()
	case closing && pending:
		// Nothing is read behind an answer that says close (RFC 9112, Section 9.6).
		err = &ConnectionError{ErrRetired}
	case !pending:
		if err = c.surplus(); err == nil {
			return &StateError{"ReadResponse", "no request has been sent"}
		}
	}
	if err != nil {
		c.fail(err)
	}
	return err
}

// nextResponse parses the next head that the caller has to see; nil if it has
// not arrived.
func (c *Conn) nextResponse() (*Response, error) {
	for {
		before := c.rcv.parsed
		head, ok, err := c.rcv.parseHead(c.opts.Limits)
		if err != nil {
			c.fail(err)
			return nil, err
		}
		if !ok {
			return nil, nil
		}
		if head.StatusCode/100 != 1 || head.StatusCode == http.StatusSwitchingProtocols {
			resp, err := c.finalResponse(head)
			if err != nil {
				c.fail(err)
			}
			return resp, err
		}
		if head.StatusCode == http.StatusContinue && c.awaitsContinue() {
			return c.continueResponse(head), nil
		}
		if err := c.interim(head, c.rcv.parsed-before); err != nil {
			return nil, err
		}
	}
}

// continueResponse takes the 100 that the current request waits for.
func (c *Conn) continueResponse(head wire.ResponseHead) *Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseHold()
	return newResponse(c.inflight.first(), head, wire.Framing{})
}

func (c *Conn) finalResponse(head wire.ResponseHead) (*Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ex := c.inflight.first()
	framing, err := c.frame(ex, &head)
	if err != nil {
		return nil, err
	}
	if ex == c.sending {
		c.releaseHold() // its content is owed all the same
	}
	c.rcv.interim = 0
	c.beginResponse(&head, framing, false)
	return newResponse(ex, head, framing), nil
}

// ResponseActive reports whether the response read last has content left to read,
// or might have.
func (c *Conn) ResponseActive() bool { return c.inContent() }

// Read reads content of the current response. It waits until some has arrived.
// At the end of the content it returns 0 and [io.EOF], as often as it is called
// until the next ReadResponse.
//
// Content that is cut short is an error that is [ErrConnectionClosed] and, unless
// the Conn was closed by its owner, [io.ErrUnexpectedEOF].
func (c *Conn) Read(p []byte) (n int, err error) {
	return c.ReadContext(context.Background(), p)
}

// ReadContext is Read, and waits no longer than ctx.
func (c *Conn) ReadContext(ctx context.Context, p []byte) (n int, err error) {
	c.takeHalves(Readable)
	defer c.dropHalves(Readable)
	for {
		n, err = c.tryRead(p)
		if err != ErrWouldBlock {
			return n, err
		}
		if err := c.await(ctx, Readable); err != nil {
			return 0, err
		}
	}
}

// TryRead is Read without waiting: the error is [ErrWouldBlock] when no content
// has arrived.
func (c *Conn) TryRead(p []byte) (n int, err error) {
	c.takeHalves(Readable)
	defer c.dropHalves(Readable)
	return c.tryRead(p)
}

func (c *Conn) tryRead(p []byte) (n int, err error) {
	if active, err := c.checkRead(); !active {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, done, err := c.readContent(p, false)
	switch {
	case err != nil:
		c.fail(err)
		return n, err
	case done:
		c.finishResponse()
	case n == 0:
		return 0, ErrWouldBlock
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// finishResponse says that the content of the current response has ended, unless
// the Conn was closed meanwhile.
func (c *Conn) finishResponse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receive == receiveContent {
		c.endResponse()
	}
	c.cut = false
}

// checkRead reports whether the current response has content left to read. If
// not, err is io.EOF, or says what has cut it short.
func (c *Conn) checkRead() (active bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.receive == receiveContent:
		return true, nil
	case c.cut:
		return false, c.err
	}
	return false, io.EOF
}

// Discard reads and drops what is left of the current response's content.
func (c *Conn) Discard(ctx context.Context) error {
	var scratch [4 << 10]byte
	for {
		_, err := c.ReadContext(ctx, scratch[:])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Trailer returns the trailer section of the response whose content was read
// last; nil if it had none.
func (c *Conn) Trailer() http.Header {
	c.takeHalves(Readable)
	defer c.dropHalves(Readable)
	return c.rcv.trailer()
}
