package pipeline

import (
	"net/http"

	"github.com/httppipe/httppipe/wire"
)

// Sizes of the sending half.
const (
	// keepBuffer is the largest buffer kept for reuse by an idle connection.
	keepBuffer = 16 << 10

	// coalesce is the most content that is copied behind its head, so that both
	// leave in one write. More is written straight from the caller's memory.
	coalesce = 64 << 10

	// lead is how much of larger content is copied behind its head: a head that
	// leaves by itself costs a system call, and wakes the origin for nothing.
	lead = 4 << 10

	// partial is the most content kept back when the link takes no more. It is
	// what makes "writable" a fact rather than a guess: as long as something is
	// kept back, the link is not.
	partial = 4 << 10

	// chunkSize is the most content that goes into one chunk.
	chunkSize = 16 << 10
)

// Values of Conn.owed for content of unknown length.
const (
	owedChunks = -1
	owedRaw    = -2 // octets that are not framed: nothing can follow them
)

// begin serialises the head of ex, unless octets has it; c.mu is held. Content must
// follow if the framing announces some: hold says that it waits for 100 (Continue).
func (c *Conn) begin(ex *exchange, h *wire.RequestHead, octets []byte, hold bool) {
	ex.start, ex.end = c.queued, 0
	ex.close = h.Close
	if h.Close {
		c.sayLast()
	}
	before := len(c.next)
	if c.next = append(c.next, octets...); octets == nil {
		c.next = wire.AppendRequestHead(c.next, h)
	}
	c.queued += int64(len(c.next) - before)
	c.inflight.push(ex)
	c.owed, c.trailer = 0, nil
	switch h.Framing.Kind {
	case wire.Length:
		c.owed = h.Framing.Length
	case wire.Chunked:
		c.owed, c.trailer = owedChunks, h.Trailer
	case wire.Tunnel:
		c.owed = owedRaw
		c.sayLast()
	}
	if c.owed == 0 {
		ex.end = c.queued
		return
	}
	c.sending = ex
	if hold {
		c.setSend(sendHold)
	} else {
		c.setSend(sendContent)
	}
}

// releaseHold ends a hold: the content may be sent now. c.mu is held.
func (c *Conn) releaseHold() {
	if c.send == sendHold {
		c.setSend(sendContent)
	}
}

// took accounts for n octets of content; c.mu is held.
func (c *Conn) took(n int, framed int) {
	c.queued += int64(framed)
	if c.owed > 0 {
		if c.owed -= int64(n); c.owed == 0 && !c.sending.verify {
			c.endRequest()
		}
	}
}

// endRequest says that the request being sent is serialised in full; c.mu is held.
func (c *Conn) endRequest() {
	c.sending.end = c.queued
	c.sending, c.owed = nil, 0
	if c.send != sendClosed { // by a Close during the write
		c.setSend(sendReady)
	}
}

// push hands over the serialised octets. Without block it reports done as false
// when some have to wait for room.
func (c *Conn) push(block bool) (done bool, err error) {
	for {
		if c.off == len(c.out) && !c.takeNext() && c.link.unsent() == 0 {
			return true, nil
		}
		m := c.link.transfer(nil, c.out[c.off:], block)
		c.gave(m)
		if m.outErr != nil {
			return false, c.failSend(m.outErr)
		}
		if m.nothing() {
			return false, nil
		}
	}
}

// kept reports whether octets wait for room. The sending half is the caller's.
func (c *Conn) kept() bool {
	return len(c.rest()) > 0 || c.link.unsent() > 0
}

// rest returns the octets to hand over next; never nil. The sending half is the
// caller's.
func (c *Conn) rest() []byte {
	if c.off == len(c.out) && !c.takeNext() {
		return []byte{}
	}
	return c.out[c.off:]
}

// gave accounts for octets of c.out that the link took.
func (c *Conn) gave(m moved) {
	c.off += m.out
}

// taken is the place up to which octets were taken to be handed over, whether or
// not the link has them yet: a response to what is beyond cannot have come.
// c.mu is held.
func (c *Conn) taken() int64 { return c.queued - int64(len(c.next)) }

// takeNext makes what was serialised since the last time the octets to hand over.
func (c *Conn) takeNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeNextLocked()
}

func (c *Conn) takeNextLocked() bool {
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	c.out, c.off, c.next = c.next, 0, c.out[:0]
	return len(c.out) > 0
}

// sendOpen reports whether writing has not failed.
func (c *Conn) sendOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send != sendClosed
}

// tryWrite hands over as much of p as fits now.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	for n < len(p) {
		k, err := c.writeContent(p[n:])
		n += k
		if k == 0 || err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeContent hands over the beginning of p as content of the current request,
// as much as fits now, and returns how much that was. Octets that it takes but
// cannot hand over are kept back; until they are gone it takes no more.
func (c *Conn) writeContent(p []byte) (n int, err error) {
	chunked, err := c.checkContent(len(p))
	if err != nil || len(p) == 0 {
		return 0, err
	}
	if done, err := c.push(false); !done || err != nil {
		return 0, err
	}
	if chunked {
		return c.writeChunk(p[:min(len(p), chunkSize)])
	}
	m := c.link.transfer(nil, p, false)
	if m.outErr != nil {
		return m.out, c.failSend(m.outErr)
	}
	kept := p[m.out:min(len(p), m.out+partial)]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = append(c.next, kept...)
	n = m.out + len(kept)
	c.took(n, n)
	return n, nil
}

// writeChunk hands over p as one chunk, as a whole.
func (c *Conn) writeChunk(p []byte) (n int, err error) {
	c.mu.Lock()
	c.appendChunk(p)
	c.mu.Unlock()
	_, err = c.push(false)
	return len(p), err
}

// appendChunk serialises p as one chunk; c.mu is held.
func (c *Conn) appendChunk(p []byte) {
	before := len(c.next)
	c.next = wire.AppendChunkHead(c.next, len(p))
	c.next = append(c.next, p...)
	c.next = wire.AppendChunkEnd(c.next)
	c.took(len(p), len(c.next)-before)
}

// checkContent reports whether n octets of content may be sent now.
func (c *Conn) checkContent(n int) (chunked bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sendFailed(); err != nil {
		return false, err
	}
	switch {
	case n == 0:
		return false, nil
	case c.send == sendHold:
		return false, &StateError{"write", "the request waits for 100 (Continue)"}
	case c.send != sendContent:
		return false, &StateError{"write", "no content is owed"}
	case c.owed > 0 && int64(n) > c.owed:
		return false, &StateError{"write", "more content than was announced"}
	}
	return c.owed == owedChunks, nil
}

// endContent ends the content of ex, with the trailer fields given if it is chunked.
func (c *Conn) endContent(ex *exchange, trailer http.Header) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sendFailed(); err != nil {
		return err
	}
	switch {
	case c.sending != ex || c.send == sendReady:
		return nil // fixed length, and complete: the next request may have begun
	case c.send == sendHold:
		return &StateError{"end content", "the request waits for 100 (Continue)"}
	case c.owed > 0:
		return &StateError{"end content", "less content than was announced"}
	}
	if c.owed == owedRaw || c.owed == 0 {
		c.endRequest()
		return nil
	}
	c.appendEnd(trailer)
	return nil
}

// appendEnd serialises the end of chunked content; c.mu is held.
func (c *Conn) appendEnd(trailer http.Header) {
	before := len(c.next)
	c.next = wire.AppendLastChunk(c.next, trailer)
	c.queued += int64(len(c.next) - before)
	c.endRequest()
}
