package pipeline

import (
	"runtime"
	"sync/atomic"
)

// A half is one direction of a Conn, and belongs to whoever has taken it: its
// buffers are touched, and its octets moved, by nobody else. It is taken for the
// length of a method call.
//
// Now and then one side needs the other's half for a moment: a receiver hands
// over octets that a sender has left behind, a sender looks for octets that
// nobody asked for. So whoever waits for the peer gives the halves up to those
// who ask. They are served first come, first served: otherwise the one who gave
// a half up would have it again at once.
type half struct {
	owner  chan struct{} // of capacity 1, full while the half is taken
	wanted atomic.Int32  // how many wait for it
}

func (h *half) init() { h.owner = make(chan struct{}, 1) }

// try takes the half if nobody has it.
func (h *half) try() bool {
	select {
	case h.owner <- struct{}{}:
		return true
	default:
		return false
	}
}

func (h *half) drop() { <-h.owner }

// take takes h, and interrupts whoever waits with it.
func (c *Conn) take(h *half) {
	if h.try() {
		return
	}
	h.wanted.Add(1)
	c.link.interrupt(true, true)
	h.owner <- struct{}{}
	h.wanted.Add(-1)
}

// yield gives the halves in held to those who want one of them, takes them back
// after that, and reports whether it did. It comes before every wait: who has said
// that he wants a half, and has interrupted the wait before, may still be on his
// way to the queue.
func (c *Conn) yield(held Readiness) bool {
	if !(held&Readable != 0 && c.receiveHalf.wanted.Load() > 0 ||
		held&Writable != 0 && c.sendHalf.wanted.Load() > 0) {
		return false
	}
	c.dropHalves(held)
	runtime.Gosched()
	c.takeHalves(held)
	return true
}

// takeHalves takes the halves of the directions in want, always in the same order
// so that two callers cannot wait for each other.
func (c *Conn) takeHalves(want Readiness) {
	if want&Readable != 0 {
		c.take(&c.receiveHalf)
	}
	if want&Writable != 0 {
		c.take(&c.sendHalf)
	}
}

// dropHalves gives them up. Octets that are kept back are left to a receiver, if
// one is waiting.
func (c *Conn) dropHalves(held Readiness) {
	kept := false
	if held&Writable != 0 {
		kept = c.kept()
		c.sendHalf.drop()
	}
	if held&Readable != 0 {
		c.receiveHalf.drop()
	}
	if kept && c.readsAlone.Load() {
		c.link.interrupt(true, false)
	}
}
