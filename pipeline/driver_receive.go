package pipeline

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/httppipe/httppipe/wire"
)

// The receiving half of a Driver. Whoever waits for a response, and finds that
// nobody reads, reads: for everybody before it, for itself, and for those behind
// whose answers arrive along. With its own response it passes the role on.
// Content that has not arrived with its head is read by its own caller, to whom
// the receiving half goes for that time: see body.go.

// canRead reports whether the receiving half is free, and a request is on its way
// that could be answered; c.mu is held.
func (d *Driver) canRead() bool {
	return d.reader == nil && d.body == nil && !d.c.closed && d.asked()
}

// passOn wakes the first caller who could read, if nobody does; c.mu is held.
// Callers who do not sleep will look by themselves.
func (d *Driver) passOn() {
	if !d.canRead() {
		return
	}
	for i := range d.c.inflight.len() {
		if call := d.c.inflight.at(i).call; call.asleep && call.state == callWaiting {
			call.wake()
			return
		}
	}
}

// read receives responses until Await has something to return to call, or content
// is for another caller to read, or the connection ends; an error says that call
// should not wait any longer. The receiving half must be the caller's; it is
// passed on.
func (d *Driver) read(ctx context.Context, call *Call) (ended error) {
	c := &d.c
	var stop func() bool
	d.found = true
	for d.deliver(call) {
		if stop == nil {
			stop = d.watch(ctx, call)
		}
		if ended = call.ended(ctx); ended != nil {
			break
		}
		half := c.rcv.r < c.rcv.w
		m := c.link.transfer(c.rcv.space(), nil, true)
		d.found = !m.waited && (d.found || !half)
		c.rcv.received(m)
		c.heedWrite(m)
	}
	if stop != nil {
		stop()
	}
	c.mu.Lock()
	if d.reader == call {
		d.reader = nil
		d.passOn()
	}
	c.mu.Unlock()
	return ended
}

// Drop takes, without waiting, the answers that have arrived and that nobody wants
// any more, if no call waits that would do so. The calls leave; a connection on
// which nothing else is in flight is idle then. Answers that were not dropped go by
// the rules of abandoned ones.
func (d *Driver) Drop() {
	c := &d.c
	dropper := new(Call)
	c.mu.Lock()
	free := d.canRead() && !d.wanted()
	if free {
		d.reader = dropper
	}
	c.mu.Unlock()
	if !free {
		return
	}
	d.found = true
	for {
		m := c.link.transfer(c.rcv.space(), nil, false)
		c.rcv.received(m)
		c.heedWrite(m)
		if !d.deliver(dropper) || m.in == 0 {
			break
		}
	}
	c.mu.Lock()
	if d.reader == dropper {
		d.reader = nil
		d.passOn()
	}
	c.mu.Unlock()
}

// writingFailed takes note of an error that a reader was told of. If somebody owns
// the sending half, they look for it before they give it up: what they handed over
// before may have been taken.
func (d *Driver) writingFailed(err error) {
	d.c.mu.Lock()
	free := !d.sendBusy && !d.c.closed
	d.sendBusy = d.sendBusy || free
	if d.lost == nil {
		d.lost = err
	}
	d.c.mu.Unlock()
	if free {
		d.failSend(err)
	}
}

// deliver hands out the responses that have arrived, and then wakes their callers. It
// returns whether own needs more octets; if not, it has what it waits for, or the
// receiving half is no longer its caller's.
func (d *Driver) deliver(own *Call) (more bool) {
	more = d.handOut(own)
	own.told.settle()
	return more
}

// handOut is deliver, except for waking those whom own has told.
func (d *Driver) handOut(own *Call) (more bool) {
	c := &d.c
	next := d.next(own)
	for next.call != nil {
		call := next.call
		if next.dropping {
			own.told.settle() // the same, if its content ends the connection
			if !d.drop(call) {
				break
			}
			next = d.next(own)
			continue
		}
		before := c.rcv.parsed
		head, ok, err := c.rcv.parseHead(c.opts.Limits)
		switch {
		case err != nil:
		case !ok:
			return d.starved(own)
		case isInterimStatus(head.StatusCode):
			err = d.interim(call, head, c.rcv.parsed-before)
			if err == nil && call == own && call.Interim {
				return false // it wants to see it before the next
			}
			next = d.next(own)
		default:
			next, err = d.answer(call, head, own)
		}
		if err != nil {
			own.told.settle() // to end the connection runs code of others
			d.fail(err, true)
			return false
		}
	}
	return d.starved(own)
}

func isInterimStatus(status int) bool {
	return status/100 == 1 && status != http.StatusSwitchingProtocols
}

// An inTurn says whose response comes next, and whether what comes next is content of it
// that is to be dropped.
type inTurn struct {
	call     *Call // nil: nothing is to be handed out
	dropping bool
}

// next returns whose turn it is.
func (d *Driver) next(own *Call) inTurn {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return d.nextLocked(own)
}

// nextLocked is next; c.mu is held. It is nobody's turn if no octets have arrived, or the
// receiving half is no longer own's, or nothing is in flight: who took the last request
// off the connection, because it has failed, is about to end that.
func (d *Driver) nextLocked(own *Call) inTurn {
	c := &d.c
	if c.closed || d.reader != own || c.rcv.r == c.rcv.w {
		return inTurn{}
	}
	return inTurn{d.firstCall(), c.receive == receiveContent}
}

// starved is deliver's end: it reports whether own needs more octets, and finds
// out if none can come.
func (d *Driver) starved(own *Call) (more bool) {
	c := &d.c
	c.mu.Lock()
	lost := c.closed || d.reader != own
	more = own.state == callWaiting && !own.hasNews()
	c.mu.Unlock()
	if lost {
		return false
	}
	if c.rcv.err != nil {
		own.told.settle()
		d.fail(d.endOfInput(), true)
		return false
	}
	return more
}

// endOfInput says why no response can come any more. If writing had failed
// earlier, that is the cause.
func (d *Driver) endOfInput() error {
	err := d.c.rcv.lostInHead(d.c.opts.Limits)
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if call := d.firstCall(); call != nil && call.begun && errors.Is(err, io.EOF) {
		err = &ConnectionError{io.ErrUnexpectedEOF}
	}
	if d.c.sendErr != nil {
		return &ConnectionError{errors.Join(d.c.sendErr, err)}
	}
	return err
}

// interim takes an interim response of n octets.
func (d *Driver) interim(call *Call, head wire.ResponseHead, n int64) error {
	c := &d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	call.begun = true
	if call.heads += n; call.heads > c.headLimit() {
		return &InvalidResponseError{&wire.LimitError{What: wire.LimitHead, Limit: c.headLimit(), Unit: "bytes"}}
	}
	if head.StatusCode == http.StatusContinue {
		d.endHold(call)
		d.expect()
	}
	if call.Interim && call.state == callWaiting {
		call.interim = append(call.interim, head)
		call.wake()
	}
	return nil
}

func (c *Conn) headLimit() int64 {
	if c.opts.Limits.Head > 0 {
		return c.opts.Limits.Head
	}
	return wire.DefaultHeadLimit
}

// errEarlySwitch is the error for a tunnel that begins inside a request.
var errEarlySwitch = errors.New("protocol switched before the request was complete")

// announcesContent reports whether a response says how long it is. In a 2xx one to
// CONNECT that is to be ignored (RFC 9112, Section 6.3, rule 2). But servers that
// know no CONNECT answer it like any other request, and their clients would wait
// for the end for ever. As net/http, a Driver does as it is told.
func announcesContent(head *wire.ResponseHead) bool {
	return len(head.Header["Content-Length"]) > 0 || len(head.Header["Transfer-Encoding"]) > 0
}

// answer takes the final head of call, and as much content as leaves the
// connection with it. The rest is for its caller to read, to whom the receiving
// half goes, or for the reader to drop. It returns whose turn it is then.
func (d *Driver) answer(call *Call, head wire.ResponseHead, own *Call) (next inTurn, err error) {
	c := &d.c
	if call.method == http.MethodConnect && announcesContent(&head) {
		call.method = ""
	}
	framing, err := c.frame(&call.exchange, &head)
	if err != nil {
		return inTurn{}, err
	}
	d.topUp(framing)
	mem, complete := d.takeEarly(framing)
	c.mu.Lock()
	if c.closed || d.firstCall() != call {
		c.mu.Unlock()
		mem.Release()
		return inTurn{}, nil // it has failed meanwhile
	}
	if framing.Kind == wire.Tunnel && (c.sending != nil && c.owed != owedRaw || c.inflight.len() > 1) {
		c.mu.Unlock()
		return inTurn{}, &InvalidResponseError{errEarlySwitch}
	}
	d.answered++
	wanted := call.state == callWaiting
	if wanted {
		d.dropped = 0
		call.Response, call.Framing, call.body.mem = head, framing, mem
		call.Found = d.found
	} else {
		mem.Release()
	}
	c.beginResponse(&head, framing, complete)
	d.skipHold(call)
	out := d.place(call, wanted)
	next = d.nextLocked(own)
	c.mu.Unlock()
	if d.tell(call, wanted, own, out); out.end != nil {
		return inTurn{}, nil
	}
	return next, nil
}

// skipHold ends a hold when a final response has come in place of 100 (Continue).
// The framing announces content all the same (RFC 9110, Section 10.1.1): it is
// sent, unless nothing is to follow it. c.mu is held.
func (d *Driver) skipHold(call *Call) {
	c := &d.c
	switch {
	case c.send != sendHold || c.sending != &call.exchange:
	case c.closing || call.exchange.close:
		c.sayLast()
		c.closing = true
	default:
		d.endHold(call)
	}
}

// tell tells of a final head: the Driver's owner first, then the caller.
func (d *Driver) tell(call *Call, wanted bool, own *Call, out outcome) {
	if out.left {
		d.tellLeft(call)
	}
	if wanted && call == own {
		call.settled.Store(true)
	} else if wanted {
		own.told.add(call)
	}
	if len(out.behind) == 0 && out.end == nil {
		return
	}
	own.told.settle() // what follows runs code of others
	d.settle(out.behind)
	if out.end != nil {
		d.fail(out.end, out.blame)
	}
}

// outcome is what has to be told, without the lock, after a final head.
type outcome struct {
	left   bool    // the call has left the connection
	behind []*Call // nothing will come for these
	end    error   // the connection ends
	blame  bool
}

// place moves call to the state that follows from its final head; c.mu is held.
func (d *Driver) place(call *Call, wanted bool) (out outcome) {
	c := &d.c
	if c.receive == receiveHead || c.receive == receiveClosed {
		if wanted {
			call.state, call.trailer = callComplete, c.rcv.trailer()
		}
		out.left = d.leave(call)
		call.gone = out.left
		out.end, out.blame = d.over()
		return out
	}
	if wanted {
		call.state, call.streams = callBody, true
		d.body, d.reader = call, nil
	}
	if c.closing {
		// Nothing is read behind an answer that says close.
		out.behind = d.takeBehind(1, ErrRetired)
	}
	d.expect()
	return out
}
