package pipeline

import "io"

// The sending half of a Driver. A caller that submits serialises its request
// behind what is there already. If nobody owns the sending half it takes it, and
// hands over everything in one write: its own request, and those of the callers
// who have come meanwhile. What has to wait is left to a goroutine.

// begin serialises call, whose head may be there as octets; c.mu is held, and the
// sending half is ready. It returns a Body that is no longer needed.
func (d *Driver) begin(call *Call, octets []byte) io.Closer {
	c := &d.c
	c.begin(&call.exchange, &call.Request, octets, call.ContinueTimeout > 0)
	if c.inflight.len() > 1 {
		d.burst, d.overlap = true, true
	}
	if c.send == sendContent && call.upload == &call.memory {
		d.beginMemory(call)
	}
	d.expect()
	if c.sending == &call.exchange {
		return nil
	}
	call.upload, call.sent = nil, true
	return call.takeBody()
}

// beginMemory serialises content that lies in memory behind its head, so that both
// leave in one write: all of it if it is small, and else its beginning.
func (d *Driver) beginMemory(call *Call) {
	c := &d.c
	content := call.memory.p
	switch {
	case c.owed > 0:
		if !call.isSmall() {
			content = content[:lead]
		}
		c.next = append(c.next, content...)
		c.took(len(content), len(content))
		call.memory.p = call.memory.p[len(content):]
		return
	case !call.isSmall():
		return
	case len(content) > 0:
		c.appendChunk(content)
	}
	c.appendEnd(c.trailer)
}

// leadTurns is how often a caller hands over something, of its own and of others who have
// come meanwhile, until it has one of these read. Answers that come before that are read at
// once.
const leadTurns = 4

// sendOn hands over what is serialised, and sends content, until nothing is left
// to do. The sending half must be the caller's; it is given up in the end.
//
// Without block it does not wait: what has to wait for room, or for a body to be
// produced, is left to a goroutine. If lead is not nil, its caller is the one who
// sends, and will look into Await afterwards.
func (d *Driver) sendOn(block bool, lead *Call) {
	looked := false
	for turns := 0; ; turns++ {
		if turns == leadTurns && lead != nil {
			lead = nil
			d.haveRead()
		}
		switch d.nextToSend(lead, looked) {
		case nothingToSend:
			return
		case failureToSend:
			d.failSend(d.lost)
			return
		case lookFirst:
			if err := d.c.surplus(); err != nil {
				d.fail(err, true)
				return
			}
			looked = true
		case octetsToSend:
			looked = false
			if !d.sendOctets(block) {
				return
			}
		case contentToSend:
			if !d.sendContent(block) {
				return
			}
		}
	}
}

// haveRead has one of those who wait read, if nobody does.
func (d *Driver) haveRead() {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	d.passOn()
}

type toSend uint8

const (
	nothingToSend toSend = iota
	lookFirst            // whether anything has arrived, before octetsToSend
	octetsToSend
	contentToSend
	failureToSend // see Driver.lost, which does not change any more
)

// nextToSend finds what to send next. If it is nothing, the sending half has been
// given up.
//
// Octets that arrived before the next write are never taken for its answer. So if
// nothing is on its way, the receiving half, which is nobody's then, has to be
// looked at first.
//
// From when a request is taken to be sent, it can be answered, and somebody has to
// read: lead's caller, if that still waits for its response and does nothing else
// before, or whoever sleeps.
func (d *Driver) nextToSend(lead *Call, looked bool) toSend {
	c := &d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nothingToSend
	case d.lost != nil:
		return failureToSend
	case c.off < len(c.out):
		return octetsToSend
	case len(c.next) > 0:
		if !looked && !d.asked() && c.inflight.len() > 0 {
			return lookFirst
		}
		c.takeNextLocked()
		if lead == nil || lead.state != callWaiting || lead.Interim {
			d.passOn()
		}
		return octetsToSend
	case c.link.unsent() > 0:
		return octetsToSend
	}
	d.patience.handed = c.taken()
	d.expect()
	if c.send == sendContent && c.sending.call.upload != nil {
		return contentToSend
	}
	d.sendBusy = false
	return nothingToSend
}

// sendOctets hands over serialised octets. If it returns false, the sending half
// is no longer the caller's.
func (d *Driver) sendOctets(block bool) bool {
	c := &d.c
	m := c.link.transfer(nil, c.out[c.off:], block)
	c.gave(m)
	if m.outErr != nil {
		d.failSend(m.outErr)
		return false
	}
	if m.nothing() && !block {
		go d.sendOn(true, nil)
		return false
	}
	return true
}

// mayBlock reports whether producing content may take any time.
func mayBlock(src source) bool {
	_, stream := src.(*stream)
	return stream
}

// sendContent sends content of the current request until that would block. If it
// returns false, the sending half is no longer the caller's.
func (d *Driver) sendContent(block bool) bool {
	c := &d.c
	c.mu.Lock()
	if c.sending == nil || c.sending.call.upload == nil {
		c.mu.Unlock()
		return true // it was given up just now: see what is next
	}
	call := c.sending.call
	src := call.upload
	c.mu.Unlock()
	if !block && mayBlock(src) {
		go d.sendOn(true, nil)
		return false
	}
	switch done, err := c.sendSource(src); {
	case err != nil && c.hasFailedToSend():
		d.failSend(err)
		return false
	case err != nil:
		return !d.failBody(call, err)
	case done:
		d.endUpload(call)
	}
	return true // something is kept back, or calls have waited: they are next
}

// endUpload says that call's content is serialised in full, and lets those follow
// who came meanwhile.
func (d *Driver) endUpload(call *Call) {
	c := &d.c
	c.mu.Lock()
	call.upload, call.sent = nil, true
	if call.Interim {
		call.wake()
		if d.reader == call {
			c.link.interrupt(true, false)
		}
	}
	bodies := []io.Closer{call.takeBody()}
	left := d.early == call
	if left {
		d.early = nil
	}
	for c.send == sendReady && !c.lastSaid && len(d.backlog) > 0 {
		next := d.backlog[0]
		d.backlog = d.backlog[1:]
		next.waits = false
		bodies = append(bodies, d.begin(next, nil))
	}
	var refused []*Call
	if c.lastSaid {
		refused = d.takeBacklog(ErrRetired)
	}
	d.expect()
	c.mu.Unlock()
	for _, body := range bodies {
		closeBody(body)
	}
	if left {
		d.tellLeft(call)
	}
	d.settle(refused)
}

// endHold lets content be sent that waited for 100 (Continue); c.mu is held.
func (d *Driver) endHold(call *Call) {
	c := &d.c
	if c.send != sendHold || c.sending != &call.exchange || call.state != callWaiting {
		return
	}
	c.releaseHold()
	if !d.sendBusy {
		d.sendBusy = true
		go d.sendOn(true, nil)
	}
}
