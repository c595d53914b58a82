//go:build unix

package pipeline

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// rawLink is a link to a non-blocking socket. It waits through the runtime's
// poller, so that no thread is held.
type rawLink struct {
	nc     rawConn
	rd, wr rawOp
	taken  atomic.Int64 // octets written
	acks   acks

	// Whether octets that were waited for for longWait came just now, or before this
	// process had time for them.
	control func(func(fd uintptr)) error
	look    func(fd uintptr) // sets ago
	ago     time.Duration
}

// longWait is how long is waited for octets before the operating system is asked when they
// came: less says little about how busy this process is.
const longWait = time.Millisecond

// longAgo is how long octets have been there at the least that this process was too busy to
// read: one tick of Linux' clock, usually.
const longAgo = 4 * time.Millisecond

// rawConn is what *net.TCPConn and *net.UnixConn have in common.
type rawConn interface {
	net.Conn
	syscall.Conn
}

// likeSocket is a connection that is no socket of the operating system, and can be
// used as one: SyscallConn waits, and these are what the system calls are. Tests
// have one in memory, so that rawLink can be tested in virtual time.
type likeSocket interface {
	rawConn
	ReadNow(fd int, p []byte) (int, error)
	WriteNow(fd int, p []byte) (int, error)
}

// isSocket reports whether nc is a socket of the operating system.
func isSocket(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// isRaw reports whether a rawLink can serve nc.
func isRaw(nc net.Conn) bool {
	_, like := nc.(likeSocket)
	return like || isSocket(nc)
}

// newRawLink returns nil if isRaw says no.
func newRawLink(nc net.Conn) link {
	if !isRaw(nc) {
		return nil
	}
	rc := nc.(rawConn)
	sys, err := rc.SyscallConn()
	if err != nil {
		return nil
	}
	read, write := syscall.Read, syscall.Write
	if like, ok := nc.(likeSocket); ok {
		read, write = like.ReadNow, like.WriteNow
	}
	l := &rawLink{nc: rc, control: sys.Control}
	if _, tcp := nc.(*net.TCPConn); tcp && lastArrival != nil {
		l.look = func(fd uintptr) { l.ago = lastArrival(fd) }
	}
	l.rd.init(sys.Control, sys.Read, read, rc.SetReadDeadline)
	l.wr.init(sys.Control, sys.Write, write, rc.SetWriteDeadline)
	l.acks.send = acknowledger(nc)
	l.rd.idle = l.acks.waiting
	return l
}

func (l *rawLink) transfer(in, out []byte, block bool) (m moved) {
	switch {
	case len(in) == 0 && len(out) == 0:
	case len(out) == 0:
		l.read(in, block, &m)
	case len(in) == 0:
		l.write(out, block, &m)
	default:
		l.write(out, false, &m)
		l.read(in, false, &m)
		if block && m.nothing() {
			l.either(in, out, &m)
		}
	}
	return m
}

func (l *rawLink) read(in []byte, block bool, m *moved) {
	var began time.Time
	if block {
		began = time.Now()
	}
	n, tried, err := l.rd.do(in, block)
	if tried && n == 0 && err == nil {
		err = io.EOF
	}
	l.acks.received(n)
	m.in, m.inErr = n, l.opError("read", err)
	m.waited = l.rd.blocked && !(n > 0 && time.Since(began) >= longWait && l.wereThere())
}

// wereThere reports whether the octets just read had come a while before.
func (l *rawLink) wereThere() bool {
	if l.ago = 0; l.look != nil {
		l.control(l.look)
	}
	return l.ago >= longAgo
}

func (l *rawLink) write(out []byte, block bool, m *moved) {
	m.out, _, m.outErr = l.send(out, block)
	m.outErr = l.opError("write", m.outErr)
}

func (l *rawLink) send(p []byte, block bool) (n int, tried bool, err error) {
	arrived := l.acks.arrived.Load()
	n, tried, err = l.wr.do(p, block)
	if n > 0 {
		l.acks.sent(arrived)
	}
	l.taken.Add(int64(n))
	return n, tried, err
}

// opError makes of an error of the operating system what the methods of a net.Conn
// would have returned.
func (l *rawLink) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return &net.OpError{
			Op: op, Net: l.nc.RemoteAddr().Network(), Source: l.nc.LocalAddr(), Addr: l.nc.RemoteAddr(),
			Err: os.NewSyscallError(op, errno),
		}
	}
	return err
}

// either waits for both directions at once. The runtime's poller lets a
// goroutine wait for one only, so a second goroutine, which lives as long as
// the wait, takes the other; who is done first interrupts the other.
func (l *rawLink) either(in, out []byte, m *moved) {
	var w moved
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(out, true, &w)
		l.rd.interrupt()
	}()
	l.read(in, true, m)
	l.wr.interrupt()
	<-written
	m.out, m.outErr = w.out, w.outErr
	// Both interrupts have done their work, or have come too late. One from
	// elsewhere is taken back along with them: its reason is still to be seen.
	l.rd.clear()
	l.wr.clear()
}

func (l *rawLink) catchUp()          {} // the kernel has them
func (l *rawLink) unsent() int       { return 0 }
func (l *rawLink) delivered() int64  { return l.taken.Load() }
func (l *rawLink) writeError() error { return l.wr.failure() }

func (l *rawLink) interrupt(reading, writing bool) {
	if reading {
		l.rd.interrupt()
	}
	if writing {
		l.wr.interrupt()
	}
}

func (l *rawLink) release() (rest []byte, err error) {
	l.rd.retire()
	l.wr.retire()
	return nil, nil
}

func (l *rawLink) close() error { return l.nc.Close() }
