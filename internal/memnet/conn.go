package memnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A link is what the two ends of a connection share.
type link struct {
	latency     time.Duration
	dropOnReset bool
	logWrites   bool
	logReads    bool

	mu      sync.Mutex // guards the rest, and both Conns; never held while waiting
	changed sync.Cond  // something a blocked call may wait for has changed
	cut     bool       // nothing travels any more
}

// wakeAfter has blocked calls look again after d.
func (l *link) wakeAfter(d time.Duration) {
	if d > 0 {
		time.AfterFunc(d, l.wake)
	}
}

func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// A Conn is one end of a connection in memory. It implements [net.Conn] and
// is safe for concurrent use; concurrent Writes do not interleave.
type Conn struct {
	link          *link
	peer          *Conn
	local, remote net.Addr

	// The mutex of the link guards the rest.
	in            stream
	rst           reset
	sockErr       error // what the next call reports; reported once
	dead          bool  // a reset has arrived
	closed        bool
	writeShut     bool // CloseWrite was called
	writing       bool // a Write is under way; others wait for it
	readDeadline  deadline
	writeDeadline deadline
	maxRead       int
	maxWrite      int
	failWriteAt   int64 // writes fail past this octet; meaningful if failWriteErr is set
	failWriteErr  error
	stats         Stats
	writeLog      [][]byte
	readLog       [][]byte
}

var _ net.Conn = (*Conn)(nil)

// Pipe returns the two ends of a new connection.
func Pipe(opts ...Option) (client, server *Conn) {
	return pipe(newConfig(opts), Addr("192.0.2.1:40000"), Addr("192.0.2.2:80"))
}

func pipe(cfg config, clientAddr, serverAddr net.Addr) (client, server *Conn) {
	l := &link{latency: cfg.latency, dropOnReset: cfg.dropOnReset, logWrites: cfg.logWrites, logReads: cfg.logReads}
	l.changed.L = &l.mu
	client = newEnd(l, cfg, clientAddr, serverAddr)
	server = newEnd(l, cfg, serverAddr, clientAddr)
	client.peer, server.peer = server, client
	return client, server
}

func newEnd(l *link, cfg config, local, remote net.Addr) *Conn {
	return &Conn{
		link:     l,
		local:    local,
		remote:   remote,
		in:       stream{capacity: cfg.buffer},
		maxRead:  cfg.maxRead,
		maxWrite: cfg.maxWrite,
	}
}

// Read waits for octets to arrive and takes some. It returns [io.EOF] when
// the peer has ended its stream.
func (c *Conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.stats.Reads++
	for {
		if n, ready, err := c.tryReadLocked(p); ready {
			c.stats.OctetsRead += int64(n)
			return n, c.opError("read", err)
		}
		c.link.changed.Wait()
	}
}

// tryReadLocked does what Read can do without waiting. The order of its
// cases is the kernel's: octets first, then the end, then the error.
func (c *Conn) tryReadLocked(p []byte) (n int, ready bool, err error) {
	now := time.Now()
	switch {
	case c.closed:
		return 0, true, net.ErrClosed
	case c.readDeadline.passed(now):
		return 0, true, os.ErrDeadlineExceeded
	case len(p) == 0:
		return 0, true, nil
	}
	return c.takeLocked(now, p)
}

// takeLocked is tryReadLocked for those whom no deadline concerns.
func (c *Conn) takeLocked(now time.Time, p []byte) (n int, ready bool, err error) {
	c.settleLocked(now)
	switch {
	case c.in.arrived.Len() > 0:
		if c.maxRead > 0 {
			p = p[:min(len(p), c.maxRead)]
		}
		n := c.in.read(p)
		if c.link.logReads {
			c.readLog = append(c.readLog, bytes.Clone(p[:n]))
		}
		c.link.changed.Broadcast() // there is space
		return n, true, nil
	case c.in.ended(now):
		return 0, true, io.EOF
	case c.sockErr != nil:
		return 0, true, c.takeSockErr()
	case c.dead:
		return 0, true, io.EOF
	}
	return 0, false, nil
}

// Write hands over all of p, waiting for space as often as necessary. The
// count is how many octets were handed over; it is less than len(p) only
// with an error.
func (c *Conn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for c.writing {
		if err := c.writeErrLocked(); err != nil {
			return 0, c.opError("write", err)
		}
		c.link.changed.Wait()
	}
	c.writing = true
	n, err := c.writeLocked(p)
	c.writing = false
	c.link.changed.Broadcast()
	c.wroteLocked(p[:n])
	return n, c.opError("write", err)
}

// wroteLocked enters a write of p into the record.
func (c *Conn) wroteLocked(p []byte) {
	c.stats.Writes++
	c.stats.OctetsWritten += int64(len(p))
	if c.link.logWrites {
		c.writeLog = append(c.writeLog, bytes.Clone(p))
	}
}

func (c *Conn) writeLocked(p []byte) (n int, err error) {
	for {
		if err := c.writeErrLocked(); err != nil {
			return n, err
		}
		took, err := c.pushLocked(p[n:], c.stats.OctetsWritten+int64(n))
		n += took
		switch {
		case err != nil:
			return n, err
		case n == len(p):
			return n, nil
		case took > 0:
			c.yieldLocked()
		default:
			c.link.changed.Wait()
		}
	}
}

// yieldLocked lets other goroutines run between two pieces of one Write.
func (c *Conn) yieldLocked() {
	c.link.mu.Unlock()
	runtime.Gosched()
	c.link.mu.Lock()
}

// writeErrLocked returns why nothing can be written now, if so.
func (c *Conn) writeErrLocked() error {
	now := time.Now()
	if !c.closed && c.writeDeadline.passed(now) {
		c.settleLocked(now)
		return os.ErrDeadlineExceeded
	}
	return c.brokenLocked(now)
}

// brokenLocked is writeErrLocked for those whom no deadline concerns.
func (c *Conn) brokenLocked(now time.Time) error {
	c.settleLocked(now)
	switch {
	case c.closed:
		return net.ErrClosed
	case c.writeShut:
		return syscall.EPIPE
	case c.sockErr != nil:
		return c.takeSockErr()
	case c.dead:
		return syscall.EPIPE
	}
	return nil
}

// pushLocked hands over as much of p as fits now. sent is how many octets
// were written before p.
func (c *Conn) pushLocked(p []byte, sent int64) (int, error) {
	var fail error
	if c.failWriteErr != nil && sent+int64(len(p)) > c.failWriteAt {
		p, fail = p[:max(0, c.failWriteAt-sent)], c.failWriteErr
	}
	out := &c.peer.in
	n := min(len(p), out.space())
	if c.maxWrite > 0 {
		n = min(n, c.maxWrite)
	}
	if n < len(p) {
		fail = nil // its turn has not come
	}
	switch {
	case n == 0:
	case c.link.cut:
		out.held += n
	case c.peer.closed:
		c.resetLocked(2 * c.link.latency) // the peer's answer to octets nobody will read
	default:
		out.send(p[:n], time.Now(), c.link.latency)
		c.link.changed.Broadcast()
		c.link.wakeAfter(c.link.latency)
	}
	return n, fail
}

// opError wraps err as package net does. io.EOF and nil stay what they are.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
