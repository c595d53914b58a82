package memnet

import (
	"net"
	"os"
	"syscall"
	"time"
)

// A Socket is a Conn that can also be used as a socket of the operating system
// is: by attempts that do not wait, and by waiting until one is worth while. With
// it, code for non-blocking sockets runs in memory, and in a synctest bubble.
type Socket struct{ *Conn }

var _ syscall.Conn = Socket{}

// ReadNow is read(2) on a non-blocking socket: 0 and nil at the end of the stream,
// EAGAIN where Read would wait. Deadlines do not concern it. The descriptor is
// ignored.
func (s Socket) ReadNow(_ int, p []byte) (int, error) {
	c := s.Conn
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.stats.Reads++
	n, ready, err := c.takeLocked(time.Now(), p)
	c.stats.OctetsRead += int64(n)
	switch {
	case !ready:
		return 0, syscall.EAGAIN
	case isErrno(err):
		return 0, err
	}
	return n, nil
}

// WriteNow is write(2) on a non-blocking socket: it hands over what fits, or
// returns EAGAIN. Deadlines do not concern it. The descriptor is ignored.
func (s Socket) WriteNow(_ int, p []byte) (int, error) {
	c := s.Conn
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.writing {
		return 0, syscall.EAGAIN
	}
	if err := c.brokenLocked(time.Now()); err != nil {
		return 0, err
	}
	n, err := c.pushLocked(p, c.stats.OctetsWritten)
	switch {
	case n > 0 || len(p) == 0:
		c.wroteLocked(p[:n])
		return n, nil // an error is for the next attempt
	case err != nil:
		return 0, err
	}
	return 0, syscall.EAGAIN
}

func isErrno(err error) bool {
	_, ok := err.(syscall.Errno)
	return ok
}

// SyscallConn returns what the runtime's poller does for a socket. The descriptor
// that it passes on is 0, and only of use for ReadNow and WriteNow.
func (s Socket) SyscallConn() (syscall.RawConn, error) { return poller{s.Conn}, nil }

// A poller is the syscall.RawConn of a Socket.
type poller struct{ c *Conn }

func (p poller) Control(f func(fd uintptr)) error {
	if p.c.IsClosed() {
		return p.c.opError("raw-control", net.ErrClosed)
	}
	f(0)
	return nil
}

func (p poller) Read(f func(fd uintptr) (done bool)) error {
	return p.until("raw-read", f, &p.c.readDeadline, p.c.readableLocked)
}

func (p poller) Write(f func(fd uintptr) (done bool)) error {
	return p.until("raw-write", f, &p.c.writeDeadline, p.c.writableLocked)
}

// until calls f until it is done, and before each further call waits for ready.
func (p poller) until(op string, f func(uintptr) bool, d *deadline, ready func(time.Time) bool) error {
	always := func(time.Time) bool { return true }
	for err := p.wait(d, always); ; err = p.wait(d, ready) {
		if err != nil {
			return p.c.opError(op, err)
		}
		if f(0) {
			return nil
		}
	}
}

// wait waits until ready. An error says why it will not wait any longer.
func (p poller) wait(d *deadline, ready func(time.Time) bool) error {
	c := p.c
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.closed:
			return net.ErrClosed
		case d.passed(now):
			return os.ErrDeadlineExceeded
		case ready(now):
			return nil
		}
		c.link.changed.Wait()
	}
}

// readableLocked reports whether ReadNow would return something.
func (c *Conn) readableLocked(now time.Time) bool {
	c.settleLocked(now)
	return c.in.arrived.Len() > 0 || c.in.ended(now) || c.sockErr != nil || c.dead
}

// writableLocked reports whether WriteNow would.
func (c *Conn) writableLocked(now time.Time) bool {
	c.settleLocked(now)
	fails := c.failWriteErr != nil && c.stats.OctetsWritten >= c.failWriteAt
	return !c.writing && (c.peer.in.space() > 0 || c.writeShut || c.sockErr != nil || c.dead || fails)
}
