package memnet

import (
	"net"
	"syscall"
	"time"
)

// A reset is a TCP RST on its way to a Conn. The zero value is none.
type reset struct {
	sent    bool
	arrives time.Time
}

// settleLocked lets everything happen to c that is due by now.
func (c *Conn) settleLocked(now time.Time) {
	c.in.settle(now)
	if !c.rst.sent || c.dead || now.Before(c.rst.arrives) {
		return
	}
	c.dead = true
	// A reset of a connection whose peer had ended its stream before is
	// reported as a broken pipe, and only to writers: readers have their EOF.
	c.sockErr = syscall.ECONNRESET
	if c.in.ended(now) {
		c.sockErr = syscall.EPIPE
	}
	if c.link.dropOnReset && c.in.arrived.Len() > 0 {
		c.in.dropArrived()
		// What is lost must not look like the end in good order that came behind it.
		c.in.fin, c.sockErr = false, syscall.ECONNRESET
	}
	c.link.changed.Broadcast()
}

// takeSockErr returns the pending error and forgets it, as the kernel does.
func (c *Conn) takeSockErr() error {
	err := c.sockErr
	c.sockErr = nil
	return err
}

// resetLocked puts a reset on its way to c, to arrive after d.
func (c *Conn) resetLocked(d time.Duration) {
	if c.rst.sent || c.link.cut {
		return
	}
	c.rst = reset{sent: true, arrives: time.Now().Add(d)}
	c.link.changed.Broadcast()
	c.link.wakeAfter(d)
}

// finishLocked puts the end of c's outgoing stream on its way.
func (c *Conn) finishLocked() {
	out := &c.peer.in
	if out.fin || c.link.cut {
		return
	}
	out.fin, out.finArrive = true, time.Now().Add(c.link.latency)
	c.link.wakeAfter(c.link.latency)
}

// Close closes this end. The peer reads what was sent and then [io.EOF]; if
// octets from the peer are unread, it is reset instead, as [Conn.Reset] does.
func (c *Conn) Close() error {
	return c.close(false)
}

// Reset closes this end abruptly (SO_LINGER of zero). The peer gets
// ECONNRESET, and octets that have not arrived there are lost. Those that
// have can still be read, unless [DropOnReset] was given.
func (c *Conn) Reset() error {
	return c.close(true)
}

func (c *Conn) close(abort bool) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	now := time.Now()
	c.settleLocked(now)
	c.closed = true
	c.readDeadline.stop()
	c.writeDeadline.stop()
	if abort || c.in.arrived.Len() > 0 {
		c.abortLocked()
	} else {
		c.finishLocked()
		c.rejectFlyingLocked()
	}
	c.in.dropArrived()
	c.in.dropFlying(now)
	c.link.changed.Broadcast()
	return nil
}

// abortLocked resets the peer.
func (c *Conn) abortLocked() {
	now := time.Now()
	c.peer.settleLocked(now) // what has arrived is not lost
	if !c.link.cut {
		c.peer.in.dropFlying(now)
	}
	c.peer.resetLocked(c.link.latency)
}

// rejectFlyingLocked answers the octets on their way to c, which is now
// closed, with a reset from the moment the first of them arrives.
func (c *Conn) rejectFlyingLocked() {
	if len(c.in.flying) > 0 {
		untilArrival := time.Until(c.in.flying[0].arrives)
		c.peer.resetLocked(untilArrival + c.link.latency)
	}
}

// CloseWrite ends the stream to the peer, which reads [io.EOF] after the last
// octet. Reading goes on; writing fails with EPIPE.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("shutdown", net.ErrClosed)
	}
	c.writeShut = true
	c.finishLocked()
	c.link.changed.Broadcast()
	return nil
}

// Blackhole cuts the wire, for both ends: octets on their way and all later
// ones are lost, and no end learns that the other has closed. Writes succeed
// until the buffer is full, and then wait for ever.
func (c *Conn) Blackhole() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.cut = true
	for _, end := range []*Conn{c, c.peer} {
		end.settleLocked(time.Now())
		end.in.flying = nil // but they stay unacknowledged, and held
		if !end.dead {
			end.rst = reset{}
		}
		if !end.in.ended(time.Now()) {
			end.in.fin = false
		}
	}
}

// IsClosed reports whether this end was closed or reset by its own side.
func (c *Conn) IsClosed() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.closed
}
