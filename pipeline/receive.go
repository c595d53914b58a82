package pipeline

import (
	"fmt"
	"io"

	"github.com/httppipe/httppipe/wire"
)

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
		c.sayLast()
		c.closing = true
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
			c.heedWrite(m)
			if done = c.rcv.receivedDirect(m); m.in > 0 {
				return m.in, done, nil
			}
			if m.nothing() {
				return 0, false, nil
			}
			continue
		}
		m := c.link.transfer(c.rcv.space(), nil, block)
		c.heedWrite(m)
		c.rcv.received(m)
		if m.nothing() {
			return 0, false, nil
		}
	}
}

// heedWrite takes note that a reader was told of a failed write: nobody else will be.
func (c *Conn) heedWrite(m moved) {
	if m.outErr != nil && c.writeFailed != nil {
		c.writeFailed(m.outErr)
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
		c.link.catchUp()
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
