package pipeline

import "github.com/httppipe/httppipe/wire"

// What the reader of a Driver does with content itself: little content leaves the
// connection along with its head, and content that nobody wants is dropped. The
// rest is read by its caller: see body.go.

const (
	// maxInMemory is the most content that leaves the connection together with
	// its head, if all of it has arrived: what a busy connection's buffer holds. It is
	// the most, too, that is moved into memory when its caller does not read it.
	maxInMemory = receiveMax

	// maxDrop is the most content of responses that nobody wants which is read
	// for the sake of those behind; beyond that they are better off elsewhere.
	maxDrop = 256 << 10
)

// topUp receives, without waiting, what there is of a content that begins at the
// end of a full buffer: most likely the rest of it has arrived as well, and if it
// is little, it should not take a turn of its caller to read it.
func (d *Driver) topUp(framing wire.Framing) {
	rv := &d.c.rcv
	if rv.w < rv.window || rv.err != nil {
		return
	}
	have := int64(rv.w - rv.r)
	switch framing.Kind {
	case wire.Chunked:
	case wire.Length:
		if framing.Length <= have || framing.Length >= bulk {
			return
		}
	default:
		return
	}
	m := d.c.link.transfer(rv.space(), nil, false)
	d.c.heedWrite(m)
	rv.received(m)
}

// takeEarly takes content that has arrived along with its head: all of it, if it is
// not too much, or what the chunks that have arrived hold. What is wrong with it
// is found by whoever reads on. So is content for which there is no memory.
func (d *Driver) takeEarly(framing wire.Framing) (mem Content, complete bool) {
	rv := &d.c.rcv
	have := int64(rv.w - rv.r)
	switch {
	case framing.Kind == wire.Length && framing.Length > 0 && framing.Length <= min(have, maxInMemory):
		mem, ok := d.memory.get(int(framing.Length))
		if !ok {
			return mem, false
		}
		n, complete, err := rv.content(mem.room()[:framing.Length])
		mem.add(n)
		return mem, complete && err == nil
	case framing.Kind == wire.Chunked && have > 0:
		return d.earlyChunks(have)
	}
	return Content{}, false
}

// earlyChunks is takeEarly for chunks, whose end among the octets that have arrived is
// not known beforehand.
func (d *Driver) earlyChunks(have int64) (mem Content, complete bool) {
	mem, _ = d.memory.get(int(min(have, minBlock/2)))
	for len(mem.p) < maxInMemory {
		if len(mem.p) == cap(mem.p) && !d.memory.grow(&mem) {
			break
		}
		n, done, err := d.c.rcv.content(mem.room())
		mem.add(n)
		if done || err != nil || n == 0 {
			return mem, done && err == nil
		}
	}
	return mem, false
}

// drop passes over content that nobody wants; false means that more octets are
// needed, or the connection was given up.
func (d *Driver) drop(call *Call) bool {
	var scratch [4 << 10]byte
	n, done, err := d.c.rcv.content(scratch[:])
	d.c.mu.Lock()
	d.dropped += int64(n)
	tooMuch := d.dropped > maxDrop && d.bound(RepeatNever) == 0
	d.c.mu.Unlock()
	switch {
	case err != nil:
		d.fail(err, true)
		return false
	case done:
		d.endContent(call)
		return true
	case tooMuch:
		d.fail(&ConnectionError{ErrRetired}, false)
		return false
	}
	return n > 0
}

// endContent says that the content of call's response has ended.
func (d *Driver) endContent(call *Call) {
	c := &d.c
	c.mu.Lock()
	if c.closed || d.firstCall() != call {
		c.mu.Unlock()
		return
	}
	c.endResponse()
	if call.state == callBody {
		call.state = callComplete
	}
	left := d.leave(call)
	end, blame := d.over()
	d.passOn()
	c.mu.Unlock()
	if left {
		d.tellLeft(call)
	}
	if end != nil {
		d.fail(end, blame)
	}
}
