package pipeline

import (
	"io"
	"net/http"

	"github.com/httppipe/httppipe/wire"
)

// body is the content of a response as its caller sees it. As long as the call's
// state is callBody, the receiving half is its caller's: a Read that waits for
// the connection has it, or else whoever gives the content up.
type body struct {
	// Guarded by Driver.c.mu; the caller's when settled, if all of the content is in
	// it.
	mem  Content   // arrived along with the head, or was moved
	rest []Content // moved, behind mem; the last takes what comes next

	// Guarded by Driver.c.mu.
	err     error // why there is no more; io.EOF at the end
	closed  error // what Read returns since Close or CloseWithError; nil before
	reading bool  // a Read has the receiving half
	gone    bool  // giveUpBody was called, or is about to be
	moving  bool  // Driver.move reads in place of the caller
	tried   bool  // to move it
	stalled bool  // see stall
	idle    int   // times in a row that holdOn has seen no octet of it leave
}

// Complete reports whether the whole content has left the connection with the
// head: see Received. It needs no Close then.
func (call *Call) Complete() bool { return !call.streams }

// Received returns the content, if it is complete. It is the caller's from now on,
// and independent of the call.
func (call *Call) Received() (c Content) {
	if !call.streams {
		c, call.body.mem = call.body.mem, Content{}
	}
	return c
}

// Trailer returns the response's trailer section after all of its content was
// read; nil if it had none.
func (call *Call) Trailer() http.Header { return call.trailer }

// Read reads content of call's response, straight from the connection. It is for
// one goroutine at a time; Close may come from another.
//
// A content that ends too early is an error for which errors.Is says
// io.ErrUnexpectedEOF.
func (call *Call) Read(p []byte) (n int, err error) {
	d := call.d
	for {
		if n, err = d.beginRead(call, p); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		var done bool
		if call.Framing.Kind == wire.Tunnel {
			n, err = d.c.readTunnel(p)
		} else {
			n, done, err = d.c.readContent(p, true)
		}
		if err = d.endRead(call, n, done, err); n > 0 || err != nil {
			return n, err
		}
	}
}

// beginRead returns what can be read without the connection, or claims that.
func (d *Driver) beginRead(call *Call, p []byte) (n int, err error) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	b := &call.body
	d.awaitMoved(b)
	switch {
	case b.closed != nil:
		return 0, b.closed
	case b.mem.Len() > 0:
		n = b.mem.Take(p)
		d.consumed += int64(n)
		b.used()
		return n, nil
	case b.err != nil:
		return 0, b.err
	case call.state != callBody:
		return 0, io.EOF
	}
	b.reading = len(p) > 0
	return 0, nil
}

// readTunnel reads octets that are no longer HTTP.
func (c *Conn) readTunnel(p []byte) (n int, err error) {
	if n = c.rcv.move(p, int64(len(p))); n > 0 {
		return n, nil
	}
	if c.rcv.err == nil {
		m := c.link.transfer(p, nil, true)
		c.rcv.receivedDirect(m)
		n = m.in
	}
	if n == 0 && c.rcv.err != nil && c.rcv.err != io.EOF {
		return 0, &ConnectionError{c.rcv.err}
	}
	if n == 0 {
		err = c.rcv.err
	}
	return n, err
}

// endRead ends what beginRead began, and does what was put off meanwhile. It
// returns what the Read does.
func (d *Driver) endRead(call *Call, n int, done bool, err error) error {
	b := &call.body
	giveUp := false
	d.c.mu.Lock()
	b.reading = false
	d.consumed += int64(n)
	if b.moving {
		b.last().add(n)
		d.moved.Broadcast()
	}
	switch {
	case call.state != callBody:
		err = b.err // the connection was taken away meanwhile
	case err != nil:
		b.err = err
		b.gone = err != io.EOF // of a tunnel, which can still be written to
	case done:
		b.err, b.gone = io.EOF, true
		call.trailer = d.c.rcv.trailer()
	case b.closed != nil:
		b.gone, giveUp = true, true
	}
	closed, taken := b.closed, call.state != callBody
	d.c.mu.Unlock()
	switch {
	case taken:
	case err == io.EOF:
	case err != nil:
		d.fail(err, false)
	case done:
		d.endContent(call)
		err = io.EOF
	case giveUp:
		d.giveUpBody(call)
	}
	if closed != nil {
		return closed
	}
	return err
}

// Write writes to the tunnel that the connection has become (101, or CONNECT).
func (call *Call) Write(p []byte) (n int, err error) {
	d := call.d
	d.tunnel.Lock()
	defer d.tunnel.Unlock()
	link := d.c.link
	for n < len(p) || link.unsent() > 0 {
		m := link.transfer(nil, p[n:], true)
		n += m.out
		if m.outErr != nil {
			return n, &ConnectionError{m.outErr}
		}
	}
	return n, nil
}

// Close gives up what is left of the content. It never blocks: what has arrived is
// read, and what has not is read by those behind within a bound, or else the
// connection is closed and they are answered by another.
func (call *Call) Close() error {
	call.CloseWithError(errBodyClosed)
	return nil
}

// CloseWithError is Close, and makes Read return err. Only the first of them has
// an effect.
func (call *Call) CloseWithError(err error) {
	d := call.d
	b := &call.body
	d.c.mu.Lock()
	if b.closed == nil {
		b.closed = err
		if b.moving {
			d.moved.Broadcast()
		} else {
			b.release()
		}
	}
	mine := call.state == callBody && !b.gone
	reading := b.reading
	b.gone = b.gone || mine && !reading
	d.c.mu.Unlock()
	switch {
	case !mine:
	case reading:
		d.c.link.interrupt(true, false) // the Read does the rest
	default:
		d.giveUpBody(call)
	}
}

// giveUpBody drops the content that call's caller does not want. What has arrived
// is read here. What has not is read by whoever waits behind it, if it is known to
// be little, or who waits cannot be sent again; or else the connection ends.
func (d *Driver) giveUpBody(call *Call) {
	if call.Framing.Kind == wire.Tunnel {
		d.fail(&ConnectionError{ErrRetired}, false)
		return
	}
	c := &d.c
	var scratch [4 << 10]byte
	for dropped := 0; dropped <= maxDrop; {
		n, done, err := c.readContent(scratch[:], false)
		if err != nil {
			d.fail(err, false)
			return
		}
		if done {
			d.endContent(call)
			return
		}
		if n == 0 {
			break
		}
		dropped += n
	}
	little := call.Framing.Kind == wire.Length && c.rcv.left <= maxDrop
	c.mu.Lock()
	behind := (little || d.bound(RepeatNever) > 0) && !c.closed && c.inflight.len() > 1
	if behind {
		call.state, d.body, d.dropped = callAbandoned, nil, 0
		behind = d.wanted()
		d.expect()
		d.passOn()
	}
	c.mu.Unlock()
	if !behind {
		d.fail(&ConnectionError{ErrRetired}, false)
	}
}
