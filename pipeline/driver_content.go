package pipeline

import (
	"slices"

	"github.com/httppipe/httppipe/wire"
)

// What the reader of a Driver does with content itself: little content leaves the
// connection along with its head, and content that nobody wants is dropped. The
// rest is read by its caller: see body.go.

const (
	// maxInMemory is the most content that leaves the connection together with
	// its head, if all of it has arrived: what a busy connection's buffer holds.
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
	rv.received(d.c.link.transfer(rv.space(), nil, false))
}

// early takes content that has arrived along with its head: all of it, if it is
// not too much, or what the chunks that have arrived hold. What is wrong with it
// is found by whoever reads on.
func (rv *receiver) early(framing wire.Framing) (mem []byte, complete bool) {
	have := int64(rv.w - rv.r)
	switch {
	case framing.Kind == wire.Length && framing.Length > 0 && framing.Length <= min(have, maxInMemory):
		mem = make([]byte, framing.Length)
		n, complete, err := rv.content(mem)
		return mem[:n], complete && err == nil
	case framing.Kind == wire.Chunked && have > 0:
		return rv.earlyChunks(have)
	}
	return nil, false
}

// earlyChunks is early for chunks, whose end among the octets that have arrived is
// not known beforehand.
func (rv *receiver) earlyChunks(have int64) (mem []byte, complete bool) {
	mem = make([]byte, 0, min(have, 512))
	for len(mem) < maxInMemory {
		if len(mem) == cap(mem) {
			mem = slices.Grow(mem, min(cap(mem), maxInMemory-len(mem)))
		}
		n, done, err := rv.content(mem[len(mem):min(cap(mem), maxInMemory)])
		mem = mem[:len(mem)+n]
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
	tooMuch := d.dropped > maxDrop
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
	if c.closed {
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
