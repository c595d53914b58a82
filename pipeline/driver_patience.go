package pipeline

import "time"

const (
	// dropWait is the longest that those behind an abandoned request wait for its
	// answer: beyond that they are better off elsewhere, unless they cannot be sent
	// again: see stayWait.
	dropWait = time.Second

	// moveWait is how long those behind a content wait for its caller to begin to
	// read, before it is moved into memory: a caller that is about to needs less.
	moveWait = 5 * time.Millisecond

	// stallWait is how long those behind a content wait for its caller to read on,
	// before they are sent elsewhere.
	stallWait = 50 * time.Millisecond

	// stayWait is how long those wait that cannot go elsewhere: for an octet of a
	// content before them to leave the connection, or for the end of an answer that
	// nobody wants. To go on waiting may be for ever, if who is to read waits for
	// them. stayTick is how often it is looked at.
	stayWait = 30 * time.Second
	stayTick = time.Second

	// stallOctets is the least that is to be read of a content during stallWait.
	// Reading little for long holds up those behind as much as not reading.
	stallOctets = 4 << 10

	// uploadGrace is how long a connection whose response has ended waits for the
	// request's content to be sent in full, before it is given up. Mostly the last
	// octet has just left, and the goroutine that sent it has not yet said so.
	uploadGrace = 50 * time.Millisecond

	// lastWait is how long the answer to half a request may take after writing has
	// failed: a peer that does not end the connection would be waited for forever.
	lastWait = time.Second
)

// An expectation is what a connection waits for at its front, and not for ever.
type expectation uint8

const (
	nothingExpected  expectation = iota
	expect100                    // 100 (Continue)
	expectHead                   // a final response head
	expectMove                   // that content is read on, or else it is moved
	expectRead                   // that content is read on, for the sake of those behind
	expectStay                   // that content is read on, for the sake of those that cannot go elsewhere
	expectDropped                // the end of a response that nobody wants
	expectAllDropped             // the same, for the sake of those that cannot be sent again
	expectUpload                 // the end of the content of a request that is answered
	expectLast                   // the answer to half a request
)

// patience watches over the one expectation that a connection has at a time. It
// follows from the state of the Driver, and every change of that calls
// Driver.expect: so there is no timer to be stopped, and none that comes too late.
//
// There is one timer, which runs on when an expectation is met: most are, and the
// next one's end is later. All fields are guarded by Conn.mu.
type patience struct {
	expected expectation
	of       *Call     // the front at that time; nil for expectUpload
	deadline time.Time // meaningful if something is expected
	consumed int64     // Driver.consumed at that time
	handed   int64     // place in the stream of octets that the link has taken

	timer *time.Timer
	fires time.Time // when timer will; zero if it does not run
}

// expects says what the connection waits for now, and how long; c.mu is held.
func (d *Driver) expects() (expectation, time.Duration) {
	c := &d.c
	call := d.firstCall()
	switch {
	case c.closed:
	case call == nil:
		if d.early != nil {
			return expectUpload, uploadGrace
		}
	case call == d.body:
		if c.inflight.len() > 1 || len(d.backlog) > 0 {
			return call.expectsRead()
		}
	case call.state == callAbandoned && d.bound(RepeatNever) > 0:
		return expectAllDropped, stayWait
	case call.state == callAbandoned:
		return expectDropped, dropWait
	case call.state != callWaiting:
	case c.sendErr != nil && (call.end == 0 || call.end > c.link.delivered()):
		return expectLast, lastWait
	case c.send == sendHold && c.sending == &call.exchange:
		return expect100, call.ContinueTimeout
	case call.HeadTimeout > 0 && call.end != 0 && call.end <= d.patience.handed:
		return expectHead, call.HeadTimeout
	}
	return nothingExpected, 0
}

// expectsRead is expects for content that is there to be read.
func (call *Call) expectsRead() (expectation, time.Duration) {
	switch {
	case call.body.stalled:
		return expectStay, stayTick
	case call.isMovable():
		return expectMove, moveWait
	case call.body.tried:
		return expectRead, stallWait - moveWait
	}
	return expectRead, stallWait
}

// expect takes note that the state of the Driver has changed; c.mu is held.
func (d *Driver) expect() {
	p := &d.patience
	what, wait := d.expects()
	if what == nothingExpected {
		p.expected, p.of = what, nil
		return
	}
	if of := d.firstCall(); p.expected != what || p.of != of {
		p.expected, p.of = what, of
		d.waitFor(wait)
	}
}

// waitFor begins the time that what is expected now may take; c.mu is held.
func (d *Driver) waitFor(wait time.Duration) {
	p := &d.patience
	p.deadline = time.Now().Add(wait)
	p.consumed = d.consumed
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, d.timeIsUp)
	} else if p.fires.IsZero() || p.fires.After(p.deadline) {
		p.timer.Reset(wait)
	} else {
		return
	}
	p.fires = p.deadline
}

// stop stops the timer; c.mu is held.
func (p *patience) stop() {
	p.expected, p.of = nothingExpected, nil
	if p.timer != nil {
		p.timer.Stop()
	}
}

// timeIsUp is called by the timer.
func (d *Driver) timeIsUp() {
	p := &d.patience
	d.c.mu.Lock()
	p.fires = time.Time{}
	what, call := p.expected, p.of
	if what == nothingExpected {
		d.c.mu.Unlock()
		return
	}
	if left := time.Until(p.deadline); left > 0 {
		p.timer.Reset(left)
		p.fires = p.deadline
		d.c.mu.Unlock()
		return
	}
	if (what == expectMove || what == expectRead) && d.consumed-p.consumed >= stallOctets {
		_, wait := d.expects()
		d.waitFor(wait)
		d.c.mu.Unlock()
		return
	}
	p.expected, p.of = nothingExpected, nil
	d.disappoint(what, call)
}

// disappoint does what follows when what was expected of call has not happened in
// time. c.mu is held, and given up.
func (d *Driver) disappoint(what expectation, call *Call) {
	var behind []*Call
	var end error
	switch what {
	case expect100:
		// RFC 9110, Section 10.1.1: a client that has waited long enough sends
		// the content all the same.
		d.endHold(call)
		d.expect()
	case expectMove:
		d.beginMoving(call)
		d.expect()
	case expectRead:
		behind = d.stall(call)
	case expectStay:
		behind = d.holdOn(call)
	case expectHead:
		d.failCall(call, ErrHeadTimeout, d.c.taken(), false)
		fallthrough
	default:
		end = &ConnectionError{ErrRetired}
	case expectLast:
		end = d.c.sendErr
	}
	if end != nil {
		d.c.failLocked(end)
	}
	d.c.mu.Unlock()
	d.settle(behind)
	if end != nil {
		d.finish(end, what == expectLast)
	}
}
