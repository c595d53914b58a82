package pipeline

import "io"

// How a connection ends, and its calls with it. Every call that Submit accepted
// leaves once: when it is answered, or by failCall. Hooks and callers are told
// afterwards, by settle, without the lock.

// fail ends the connection because of err, and with it all calls in flight. blame
// says that the peer has caused it, which puts the oldest under suspicion.
func (d *Driver) fail(err error, blame bool) {
	c := &d.c
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.failLocked(err)
	c.mu.Unlock()
	d.finish(err, blame)
}

// finish does what follows after Conn.failLocked, whose caller calls it once.
func (d *Driver) finish(err error, blame bool) {
	c := &d.c
	// What has not reached the network by the end of close never will: only then
	// can it be said what is unsent.
	c.link.close()
	c.mu.Lock()
	d.patience.stop()
	calls := d.takeAll(err, blame)
	c.mu.Unlock()
	d.settle(calls)
	if d.hooks.Ended != nil {
		d.hooks.Ended(err)
	}
}

// takeAll fails all calls; c.mu is held. The caller settles them.
func (d *Driver) takeAll(err error, blame bool) (calls []*Call) {
	c := &d.c
	reached := c.taken()
	if !d.sendBusy {
		reached = c.link.delivered()
	}
	for c.inflight.len() > 0 {
		call := c.inflight.pop().call
		d.failCall(call, err, reached, blame && len(calls) == 0)
		calls = append(calls, call)
	}
	if d.early != nil {
		calls = append(calls, d.early)
		d.early = nil
	}
	return append(calls, d.takeBacklog(err)...)
}

// takeBehind fails the calls behind the oldest ones, as many as keep says, and sends no
// more of them; c.mu is held. The caller settles them. What a sender has taken counts
// as sent.
func (d *Driver) takeBehind(keep int, err error) (calls []*Call) {
	c := &d.c
	last := c.inflight.at(keep - 1)
	c.sayLast()
	for n := c.inflight.len(); n > keep; n-- {
		call := c.inflight.last().call
		c.inflight.drop()
		d.failCall(call, err, c.taken(), false)
		call.upload = nil
		calls = append(calls, call)
	}
	if c.sending != last {
		d.stopSending(last.end)
	}
	return append(calls, d.takeBacklog(err)...)
}

// stopSending sends nothing beyond a place in the stream of octets, or what a sender
// has taken; c.mu is held.
func (d *Driver) stopSending(end int64) {
	c := &d.c
	keep := max(0, end-c.taken())
	c.queued -= int64(len(c.next)) - keep
	c.next = c.next[:keep]
	d.stopped = true
	if c.send != sendClosed {
		c.setSend(sendClosed)
	}
}

// takeBacklog fails the calls that wait for content before them to be sent; c.mu
// is held. The caller settles them.
func (d *Driver) takeBacklog(err error) (calls []*Call) {
	calls, d.backlog = d.backlog, nil
	for _, call := range calls {
		d.failCall(call, err, 0, false)
	}
	return calls
}

// failSend ends the sending half because writing has failed with err, for calls of
// which not one octet was sent. The others may still be answered: responses
// already on their way are read. The sending half must be the caller's.
func (d *Driver) failSend(err error) {
	c := &d.c
	c.mu.Lock()
	d.sendBusy = false
	over := c.closed || d.stopped && !d.owes()
	c.mu.Unlock()
	if !over {
		d.endSend(err, d.takeUnsent)
	}
}

// owes reports whether a call waits for its response that was not sent in full; c.mu
// is held.
func (d *Driver) owes() bool {
	c := &d.c
	delivered := c.link.delivered()
	for i := range c.inflight.len() {
		if ex := c.inflight.at(i); ex.call.state == callWaiting && (ex.end == 0 || ex.end > delivered) {
			return true
		}
	}
	return false
}

// failBody ends the sending half because the content of culprit could not be
// produced. Nothing can follow half a request; those before it, which have no part
// in it, may still be answered. The sending half must be the caller's, and stays so
// if the request was given up before: what was sent before it may still be held back.
func (d *Driver) failBody(culprit *Call, err error) (ended bool) {
	c := &d.c
	c.mu.Lock()
	stopped, closed, lost := d.stopped, c.closed, d.lost
	d.sendBusy = stopped
	c.mu.Unlock()
	if stopped || closed {
		return closed
	}
	if lost != nil {
		d.failSend(lost)
	}
	d.endSend(ErrRetired, func(retired error) (calls []*Call) {
		in := &d.c.inflight
		if culprit.state == callWaiting && in.len() > 0 && in.last() == &culprit.exchange {
			in.drop()
			d.failCall(culprit, err, d.c.taken(), false)
			calls = append(calls, culprit)
		}
		return append(calls, d.takeBacklog(retired)...)
	})
	return true
}

// endSend ends the sending half because of err, and the calls that take returns,
// for which it is called with c.mu held.
func (d *Driver) endSend(err error, take func(error) []*Call) {
	c := &d.c
	err = c.failSend(err)
	c.mu.Lock()
	calls := take(err)
	var body io.Closer
	if c.sending != nil {
		c.sending.call.upload = nil
		body = c.sending.call.takeBody()
	}
	alone := c.inflight.len() == 0
	d.expect()
	d.passOn()
	c.mu.Unlock()
	closeBody(body)
	d.settle(calls)
	if alone {
		d.fail(err, false)
	}
}

// takeUnsent fails the calls of which writing, which has failed, has sent nothing;
// c.mu is held. The caller settles them.
func (d *Driver) takeUnsent(err error) (calls []*Call) {
	c := &d.c
	delivered := c.link.delivered()
	for c.inflight.len() > 0 && c.inflight.last().start >= delivered {
		call := c.inflight.last().call
		c.inflight.drop()
		d.failCall(call, err, delivered, false)
		calls = append(calls, call)
	}
	return append(calls, d.takeBacklog(err)...)
}

// failCall takes the connection from under call; c.mu is held. Requests that begin
// at reached or behind it have not reached the network, and never will.
func (d *Driver) failCall(call *Call, err error, reached int64, head bool) {
	if d.body == call {
		d.body = nil
	}
	call.Cut = call.state == callBody || call.state == callAbandoned && call.Response.StatusCode != 0
	switch call.state {
	case callWaiting:
		call.state = callFailed
		call.err = &CallError{
			Err:      err,
			Unsent:   call.waits || call.start >= reached,
			Head:     head,
			Answered: d.answered,
		}
	case callBody:
		call.state = callComplete
		if call.body.err == nil {
			call.body.err = err
		}
	}
}

// settle tells about calls that were taken off the connection.
func (d *Driver) settle(calls []*Call) {
	for _, call := range calls {
		d.c.mu.Lock()
		body := call.takeBody()
		reads := d.reader == call
		d.c.mu.Unlock()
		closeBody(body)
		d.tellLeft(call)
		if !call.settled.Load() {
			call.settle()
		}
		if reads {
			d.c.link.interrupt(true, false) // for others, who will do so themselves
		}
	}
}

// tellLeft tells that call has left the connection.
func (d *Driver) tellLeft(call *Call) {
	if d.hooks.Left != nil {
		d.hooks.Left(call)
	}
}

// leave takes note that the oldest exchange is over, which was call's; c.mu is
// held. It reports whether nothing of call is left on the connection. The
// receiving half is given up when nothing is on its way any more.
func (d *Driver) leave(call *Call) (left bool) {
	c := &d.c
	if d.body == call {
		d.body = nil
	}
	if !d.asked() {
		d.reader = nil
	}
	if c.inflight.len() == 0 {
		d.burst, d.overlap = false, d.burst
	}
	if left = c.sending != &call.exchange; !left {
		d.early = call
	}
	d.expect()
	return left
}

// over says, after an exchange has left, whether that was the last one, and why.
// c.mu is held, and the receiving half has been the caller's.
func (d *Driver) over() (err error, blame bool) {
	c := &d.c
	idle := c.inflight.len() == 0
	switch {
	case c.closed:
		return nil, false
	case c.closing, (idle || !d.wanted()) && (c.lastSaid || c.send == sendClosed):
		return &ConnectionError{ErrRetired}, false
	case d.asked():
		return nil, false
	case c.rcv.r < c.rcv.w:
		return &ConnectionError{ErrSurplus}, true
	case c.rcv.err != nil:
		return c.rcv.lost(), true
	}
	return nil, false
}
