// Package delay is a TCP proxy on the loopback interface that adds a fixed
// delay in each direction without limiting throughput: what it reads is stamped
// with the time at which it is due, and any amount may be on its way at once.
//
// The first octets on a new connection are held back for one more round trip,
// which is what TCP's handshake would have cost the client.
//
// # Limitations
//
// Slow start, loss and bandwidth are not simulated, and neither are the round
// trips of a TLS handshake other than by delaying its octets. Linux only.
package delay

import "time"

// queueMax bounds the octets on their way in one direction. It is far above
// what any bench has in flight; reaching it stops reading, and so limits
// throughput.
const queueMax = 256 << 20

// A queue holds octets until they are due, in order.
type queue struct {
	delay     time.Duration
	notBefore time.Time // nothing counts as arrived before this
	chunks    []chunk   // oldest first
	size      int       // octets in chunks
	ended     bool      // no more will be put in
	spare     [][]byte  // buffers to use again
}

type chunk struct {
	due  time.Time
	b    []byte // what is left of it
	buf  []byte // all of it, to be used again
	last bool   // stands for the end of the stream
}

// put adds a copy of b, which arrived at now.
func (q *queue) put(b []byte, now time.Time) {
	var buf []byte
	if n := len(q.spare); n > 0 {
		buf, q.spare = q.spare[n-1], q.spare[:n-1]
	}
	buf = append(buf[:0], b...)
	q.chunks = append(q.chunks, chunk{due: q.due(now), b: buf, buf: buf})
	q.size += len(b)
}

// end adds the end of the stream, which arrived at now.
func (q *queue) end(now time.Time) {
	q.chunks = append(q.chunks, chunk{due: q.due(now), last: true})
	q.ended = true
}

func (q *queue) due(now time.Time) time.Time {
	if now.Before(q.notBefore) {
		now = q.notBefore
	}
	return now.Add(q.delay)
}

// full reports whether no more should be put in for now.
func (q *queue) full() bool { return q.ended || q.size >= queueMax }

// next returns when the oldest octets are due.
func (q *queue) next() (due time.Time, ok bool) {
	if len(q.chunks) == 0 {
		return time.Time{}, false
	}
	return q.chunks[0].due, true
}

// front returns octets that are due at now, or last at the end of the stream.
func (q *queue) front(now time.Time) (b []byte, last bool) {
	if len(q.chunks) == 0 || q.chunks[0].due.After(now) {
		return nil, false
	}
	return q.chunks[0].b, q.chunks[0].last
}

// sent removes the first n of the octets that front returned, or the end of the
// stream.
func (q *queue) sent(n int) {
	q.size -= n
	c := &q.chunks[0]
	if c.b = c.b[n:]; len(c.b) > 0 {
		return
	}
	if c.buf != nil {
		q.spare = append(q.spare, c.buf)
	}
	q.chunks[0] = chunk{}
	if q.chunks = q.chunks[1:]; len(q.chunks) == 0 {
		q.chunks = nil
	}
}
