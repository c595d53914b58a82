package pipeline

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/httppipe/httppipe/wire"
)

// Sizes of the receiving half.
const (
	// receiveMin is the buffer of a connection that has not been busy.
	receiveMin = 4 << 10
	// receiveMax is the buffer of a busy one: many small answers for each system
	// call. Only a response head may make it larger, up to Limits.Head.
	receiveMax = 64 << 10
	// direct is the least content for which a read goes past the buffer,
	// straight into the caller's memory.
	direct = 4 << 10
)

// A receiver holds octets that were received and not yet parsed, and the
// framing of the response they belong to. It does no I/O.
type receiver struct {
	buf  []byte // buf[r:w] is not parsed
	r, w int
	err  error // why no more octets will come; io.EOF if the peer ended in good order

	head    wire.HeadScanner
	framing wire.Framing // of the current content
	left    int64        // octets of it not yet read; Length only
	chunks  wire.ChunkedDecoder
	interim int64 // octets of interim heads since the last final one

	total  int64 // octets received, ever
	parsed int64 // octets parsed, ever
}

func (rv *receiver) buffered() []byte { return rv.buf[rv.r:rv.w] }

// space returns room to receive into, at least one octet.
func (rv *receiver) space() []byte {
	switch {
	case rv.r == rv.w:
		full := rv.w == len(rv.buf)
		rv.r, rv.w = 0, 0
		if full && len(rv.buf) < receiveMax {
			rv.buf = make([]byte, max(receiveMin, 4*len(rv.buf)))
		}
	case rv.w < len(rv.buf):
	case rv.r > 0:
		rv.w = copy(rv.buf, rv.buffered())
		rv.r = 0
	default:
		bigger := make([]byte, max(receiveMin, 2*len(rv.buf)))
		rv.w = copy(bigger, rv.buffered())
		rv.buf = bigger
	}
	return rv.buf[rv.w:]
}

// received accounts for octets that were read into space.
func (rv *receiver) received(m moved) {
	rv.w += m.in
	rv.total += int64(m.in)
	if m.inErr != nil && rv.err == nil {
		rv.err = m.inErr
	}
}

// parse drops n octets that were parsed.
func (rv *receiver) parse(n int) {
	rv.r += n
	rv.parsed += int64(n)
}

// trim gives back a buffer that only a busy connection needs.
func (rv *receiver) trim() {
	if rv.r == rv.w && len(rv.buf) > receiveMin {
		rv.buf, rv.r, rv.w = nil, 0, 0
	}
}

// parseHead parses the response head at the front. ok is false if more octets
// are needed.
func (rv *receiver) parseHead(lim wire.Limits) (head wire.ResponseHead, ok bool, err error) {
	head, n, err := rv.head.Parse(rv.buffered(), lim)
	if err != nil {
		return head, false, &InvalidResponseError{err}
	}
	rv.parse(n)
	return head, n > 0, nil
}

// begin starts the content that framing announces.
func (rv *receiver) begin(framing wire.Framing, lim wire.Limits) {
	rv.framing, rv.left = framing, framing.Length
	if framing.Kind == wire.Chunked {
		rv.chunks = wire.ChunkedDecoder{Limits: lim}
	}
}

// content moves content octets from the buffer into p. done says that the
// content has ended. Nothing moved, not done, and no error: more octets are
// needed.
func (rv *receiver) content(p []byte) (n int, done bool, err error) {
	switch rv.framing.Kind {
	case wire.Length:
		n = rv.move(p, rv.left)
		rv.left -= int64(n)
		done = rv.left == 0
	case wire.Chunked:
		n, done, err = rv.chunked(p)
	case wire.UntilClose:
		n = rv.move(p, int64(len(p)))
		done = n == 0 && rv.err == io.EOF
	default:
		done = true
	}
	if n == 0 && !done && err == nil && rv.err != nil && rv.r == rv.w {
		err = rv.truncated()
	}
	return n, done, err
}

// contentWaits consumes the framing in front of content, and reports whether
// content, or its end, or an error in its framing, is there to be read.
func (rv *receiver) contentWaits() bool {
	if rv.framing.Kind != wire.Chunked || rv.chunks.Remaining() > 0 {
		return rv.r < rv.w
	}
	n, err := rv.chunks.Frame(rv.buffered())
	if err != nil {
		return true
	}
	rv.parse(n)
	return rv.chunks.Done() || rv.r < rv.w
}

// move copies at most limit buffered octets into p.
func (rv *receiver) move(p []byte, limit int64) int {
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	n := copy(p, rv.buffered())
	rv.parse(n)
	return n
}

// chunked moves content out of its chunks, as much as p has room for.
func (rv *receiver) chunked(p []byte) (n int, done bool, err error) {
	for {
		if left := rv.chunks.Remaining(); left > 0 {
			k := rv.move(p[n:], left)
			rv.chunks.Skip(int64(k))
			n += k
			if k == 0 {
				return n, false, nil
			}
			continue
		}
		k, err := rv.chunks.Frame(rv.buffered())
		if err != nil {
			return n, false, &InvalidResponseError{err}
		}
		rv.parse(k)
		if rv.chunks.Done() {
			return n, true, nil
		}
		if k == 0 {
			return n, false, nil
		}
	}
}

// direct is how many of max octets may be read past the buffer into the caller's
// memory: content, and nothing but content.
func (rv *receiver) direct(max int) int {
	if rv.r != rv.w || max < direct || rv.err != nil {
		return 0
	}
	left := int64(max)
	switch rv.framing.Kind {
	case wire.Length:
		left = rv.left
	case wire.Chunked:
		left = rv.chunks.Remaining()
	}
	if left < direct {
		return 0
	}
	return int(min(left, int64(max)))
}

// receivedDirect accounts for content that was read past the buffer.
func (rv *receiver) receivedDirect(m moved) (done bool) {
	rv.total += int64(m.in)
	rv.parsed += int64(m.in)
	if m.inErr != nil && rv.err == nil {
		rv.err = m.inErr
	}
	switch rv.framing.Kind {
	case wire.Length:
		rv.left -= int64(m.in)
		return rv.left == 0
	case wire.Chunked:
		rv.chunks.Skip(int64(m.in))
	}
	return false
}

// truncated is the error for a connection that ended inside a message.
func (rv *receiver) truncated() error {
	switch {
	case rv.err == io.EOF:
		return &ConnectionError{io.ErrUnexpectedEOF}
	case errors.Is(rv.err, net.ErrClosed):
		return &ConnectionError{rv.err} // our own doing
	}
	return &ConnectionError{fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, rv.err)}
}

// lost is the error for a connection that ended where a response was due.
func (rv *receiver) lost() error {
	if rv.err == io.EOF && rv.r < rv.w {
		return &ConnectionError{io.ErrUnexpectedEOF}
	}
	return &ConnectionError{rv.err}
}

// trailer returns the trailer section of chunked content; nil if it had none.
func (rv *receiver) trailer() http.Header {
	if rv.framing.Kind != wire.Chunked {
		return nil
	}
	return rv.chunks.Trailer()
}

// isInterim reports whether the response that begins with b is an interim one.
// known is false if b is too short to tell. What is no response is not interim:
// it is for the caller to find.
func isInterim(b []byte) (yes, known bool) {
	const start, digits = "HTTP/1.1 ", len("HTTP/1.1 100")
	if k := min(len(b), len("HTTP/")); string(b[:k]) != start[:k] {
		return false, true
	}
	switch {
	case len(b) <= len(start):
		return false, false
	case b[len(start)] != '1':
		return false, true
	case len(b) < digits:
		return false, false
	}
	return string(b[len(start):digits]) != "101", true
}

// readable consumes interim responses, and reports whether octets of a final
// response, the end of the connection, or an error are there to be read. It
// does not wait.
func (c *Conn) readable() bool {
	for {
		if c.readableNow() || c.rcv.err != nil {
			return true
		}
		m := c.link.transfer(c.rcv.space(), nil, false)
		c.rcv.received(m)
		if m.nothing() {
			return false
		}
	}
}

// readableNow is readable for the octets already received.
func (c *Conn) readableNow() bool {
	c.mu.Lock()
	state, pending, closing := c.receive, c.inflight.len() > 0, c.closing
	c.mu.Unlock()
	switch {
	case state == receiveClosed:
		return true
	case state == receiveContent:
		return c.rcv.contentWaits()
	case state == receiveTunnel, !pending:
		return c.rcv.r < c.rcv.w
	case closing:
		return true // there will be no response
	}
	return c.finalWaits()
}

// finalWaits consumes interim responses, and reports whether octets of a response
// that the caller has to see have been received.
func (c *Conn) finalWaits() bool {
	for c.rcv.r < c.rcv.w {
		interim, known := isInterim(c.rcv.buffered())
		switch {
		case !known:
			return false
		case !interim, c.awaitsContinue():
			return true
		}
		before := c.rcv.parsed
		head, ok, err := c.rcv.parseHead(c.opts.Limits)
		if !ok || err != nil {
			return err != nil
		}
		if c.interim(head, c.rcv.parsed-before) != nil {
			return true
		}
	}
	return false
}

// inContent reports whether the current response has content left to read.
func (c *Conn) inContent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receive == receiveContent
}

// awaitsContinue reports whether the oldest request holds its content back.
func (c *Conn) awaitsContinue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send == sendHold && c.inflight.len() > 0 && c.inflight.first() == c.sending
}

// interim tells of an interim response of n octets. All that come before one
// final response may together be as long as one head: a peer that sends nothing
// else would keep us busy for ever.
func (c *Conn) interim(head wire.ResponseHead, n int64) error {
	if c.rcv.interim += n; c.rcv.interim > c.headLimit() {
		err := &InvalidResponseError{&wire.LimitError{What: wire.LimitHead, Limit: c.headLimit(), Unit: "bytes"}}
		c.fail(err)
		return err
	}
	if c.opts.Interim == nil {
		return nil
	}
	c.mu.Lock()
	ex := c.current()
	c.mu.Unlock()
	c.opts.Interim(newResponse(ex, head, wire.Framing{}))
	return nil
}

// current is the exchange whose response is next, or nil; c.mu is held.
func (c *Conn) current() *exchange {
	if c.inflight.len() == 0 {
		return nil
	}
	return c.inflight.first()
}

// frame finds out how the final response to ex ends. It belongs to the receiving
// goroutine; begin follows.
func (c *Conn) frame(ex *exchange, head *wire.ResponseHead) (wire.Framing, error) {
	framing, err := wire.ResponseFraming(ex.method, head)
	if err != nil {
		return framing, &InvalidResponseError{err}
	}
	c.rcv.begin(framing, c.opts.Limits)
	return framing, nil
}

// beginResponse says that the oldest exchange has its final head, and, if
// complete is set, all of its content. c.mu is held.
func (c *Conn) beginResponse(head *wire.ResponseHead, framing wire.Framing, complete bool) {
	if !framing.Persists() || !head.KeepAlive() {
		c.lastSaid, c.closing = true, true
	}
	switch {
	case framing.Kind == wire.Tunnel:
		c.setReceive(receiveTunnel)
	case complete, framing.Kind == wire.NoContent, framing.Kind == wire.Length && framing.Length == 0:
		c.endResponse()
	default:
		c.setReceive(receiveContent)
	}
}

// endResponse says that the oldest exchange has been answered; c.mu is held.
func (c *Conn) endResponse() {
	if c.receive != receiveClosed {
		c.setReceive(receiveHead)
	}
	c.inflight.pop()
}

// readContent reads content of the current response into p. At its end it
// returns done. Without block it may return 0 octets.
func (c *Conn) readContent(p []byte, block bool) (n int, done bool, err error) {
	for {
		n, done, err = c.rcv.content(p)
		if n > 0 || done || err != nil {
			return n, done, c.checkEnd(done, err)
		}
		if k := c.rcv.direct(len(p)); k > 0 {
			m := c.link.transfer(p[:k], nil, block)
			if done = c.rcv.receivedDirect(m); m.in > 0 {
				return m.in, done, nil
			}
			if m.nothing() {
				return 0, false, nil
			}
			continue
		}
		m := c.link.transfer(c.rcv.space(), nil, block)
		c.rcv.received(m)
		if m.nothing() {
			return 0, false, nil
		}
	}
}

// checkEnd refuses to believe the end of content that ends with the connection
// when writing has failed: the write may have taken the error that says the
// content is incomplete, so that the read sees a clean end.
func (c *Conn) checkEnd(done bool, err error) error {
	if err != nil || !done || c.rcv.framing.Kind != wire.UntilClose {
		return err
	}
	if werr := c.link.writeError(); werr != nil {
		return &ConnectionError{fmt.Errorf("%w after a failed write: %w", io.ErrUnexpectedEOF, werr)}
	}
	return nil
}

// surplus looks, without waiting, for octets that no request has asked for, and
// for the end of the connection. The receiving half must be the caller's, and
// nothing in flight.
func (c *Conn) surplus() error {
	if c.rcv.r == c.rcv.w && c.rcv.err == nil {
		m := c.link.transfer(c.rcv.space(), nil, false)
		c.rcv.received(m)
	}
	switch {
	case c.rcv.r < c.rcv.w:
		return &ConnectionError{ErrSurplus}
	case c.rcv.err != nil:
		return c.rcv.lost()
	}
	return nil
}
