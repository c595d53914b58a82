package pipeline

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// The most octets that a pumpLink holds: received and not taken, taken and not
// written. Large enough that a transfer is worth a goroutine switch; what an
// idle connection holds is the smallest read buffer.
const (
	pumpReadMin  = 4 << 10
	pumpReadMax  = 64 << 10
	pumpWriteMax = 64 << 10
)

// pumpLink is a link to any net.Conn. Go has no portable way to read or write
// without blocking, so one goroutine reads, one writes, and bounded buffers lie
// between. Both end when the connection does, or is released.
type pumpLink struct {
	nc   net.Conn
	acks acks

	mu      sync.Mutex
	changed sync.Cond // broadcast when a field below changes; L is &mu
	loops   int       // goroutines that run
	closed  bool
	leaving bool // release was called

	reading     bool   // readLoop has nothing in hand, and is about to be in nc.Read
	in          []byte // received, not yet taken
	inErr       error  // why there will be no more
	out         []byte // taken, not yet given to nc.Write
	writing     int    // octets in the nc.Write in progress
	written     int64  // octets that nc.Write has accepted
	outErr      error  // why nothing more can be written
	told        bool   // whoever reads knows outErr
	stopReading bool   // an interrupt is pending
	stopWriting bool
}

func newPumpLink(nc net.Conn) *pumpLink {
	l := &pumpLink{nc: nc}
	l.acks.send = acknowledger(nc)
	l.changed.L = &l.mu
	l.loops = 2
	go l.readLoop()
	go l.writeLoop()
	return l
}

func (l *pumpLink) transfer(in, out []byte, block bool) (m moved) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		l.take(in, out, &m)
		if !m.nothing() || !block {
			return m
		}
		if l.interrupted(len(in) > 0, len(out) > 0) {
			return m
		}
		m.waited = true
		if len(in) > 0 && l.acks.owed() {
			l.mu.Unlock() // it runs code of others
			l.acks.waiting()
			l.mu.Lock()
			continue
		}
		l.changed.Wait()
	}
}

// take moves octets between the buffers and the caller; l.mu is held.
func (l *pumpLink) take(in, out []byte, m *moved) {
	if len(in) > 0 {
		l.takeIn(in, m)
	}
	if len(out) > 0 {
		l.takeOut(out, m)
	}
}

func (l *pumpLink) takeIn(in []byte, m *moved) {
	m.in = copy(in, l.in)
	l.in = l.in[m.in:]
	switch {
	case m.in == 0 && l.inErr == nil && !l.told:
		m.outErr = l.outErr // writeLoop has nobody else to tell
		l.told = l.outErr != nil
	case m.in == 0:
		m.inErr = l.inErr
	case len(l.in) == 0:
		l.changed.Broadcast()
	}
}

func (l *pumpLink) takeOut(out []byte, m *moved) {
	if l.outErr != nil {
		m.outErr = l.outErr
		return
	}
	m.out = min(len(out), pumpWriteMax-len(l.out)-l.writing)
	if m.out > 0 {
		l.out = append(l.out, out[:m.out]...)
		l.acks.sent(l.acks.arrived.Load()) // by writeLoop, in a moment
		l.changed.Broadcast()
	}
}

// interrupted consumes a pending interrupt; l.mu is held.
func (l *pumpLink) interrupted(reading, writing bool) bool {
	yes := reading && l.stopReading || writing && l.stopWriting
	if reading {
		l.stopReading = false
	}
	if writing {
		l.stopWriting = false
	}
	return yes
}

// yields is how many times catchUp lets other goroutines run. Where a processor is
// free for it, readLoop needs far less time for the way into nc.Read and back than
// so many take; where none is, one is enough.
const yields = 20

// catchUp waits until readLoop has come back to nc.Read. Whether that is going to
// return at once cannot be asked: so it gets the time to.
func (l *pumpLink) catchUp() {
	l.mu.Lock()
	for !l.reading && !l.offers() {
		l.changed.Wait()
	}
	for i := 0; i < yields && !l.offers(); i++ {
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	l.mu.Unlock()
}

// offers reports whether there is something to take, or never will be; l.mu is held.
func (l *pumpLink) offers() bool {
	return len(l.in) > 0 || l.inErr != nil || l.closed || l.leaving
}

func (l *pumpLink) readLoop() {
	p := make([]byte, pumpReadMin)
	l.beginReading()
	for {
		n, err := l.nc.Read(p)
		l.acks.received(n)
		if !l.received(p[:n], err) {
			return
		}
		if n == len(p) && n < pumpReadMax {
			p = make([]byte, 4*n)
		}
	}
}

// received offers p, and waits until all of it was taken. It returns whether
// there is more to read.
func (l *pumpLink) received(p []byte, err error) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in, l.reading = p, false
	if l.leaving || l.closed {
		// An error now is of our own making.
		l.loops--
		l.changed.Broadcast()
		return false
	}
	l.inErr = err
	l.changed.Broadcast()
	for len(l.in) > 0 && !l.closed && !l.leaving {
		l.changed.Wait()
	}
	if err != nil || l.closed || l.leaving {
		l.loops--
		l.changed.Broadcast()
		return false
	}
	l.in, l.reading = nil, true
	l.changed.Broadcast()
	return true
}

func (l *pumpLink) beginReading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = true
	l.changed.Broadcast()
}

func (l *pumpLink) writeLoop() {
	var spare []byte
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.hasOut() {
		p := l.out
		l.out, l.writing = spare[:0], len(p)
		l.mu.Unlock()
		n, err := l.nc.Write(p)
		l.mu.Lock()
		spare = p
		l.writing = 0
		l.written += int64(n)
		if err != nil && l.outErr == nil {
			l.outErr = err
		}
		l.changed.Broadcast()
	}
	l.loops--
	l.changed.Broadcast()
}

// hasOut waits for octets to write; false means that there will be none. l.mu is
// held.
func (l *pumpLink) hasOut() bool {
	for len(l.out) == 0 && l.outErr == nil && !l.closed && !l.leaving {
		l.changed.Wait()
	}
	return len(l.out) > 0 && l.outErr == nil && !l.closed
}

func (l *pumpLink) unsent() int { return 0 } // writeLoop goes on by itself

func (l *pumpLink) delivered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written + int64(l.writing)
}

// writeError has to know how the write in progress ends. Since it is asked for
// when the peer has ended, that write is cut short: if it was just waiting for
// room, all is well.
func (l *pumpLink) writeError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing > 0 {
		if err := l.nc.SetWriteDeadline(aLongTimeAgo); err != nil {
			return err
		}
	}
	for l.writing > 0 && !l.closed {
		l.changed.Wait()
	}
	if errors.Is(l.outErr, os.ErrDeadlineExceeded) {
		return nil
	}
	return l.outErr
}

func (l *pumpLink) interrupt(reading, writing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopReading = l.stopReading || reading
	l.stopWriting = l.stopWriting || writing
	l.changed.Broadcast()
}

// release waits until what was taken is written. The Read in progress is ended by
// a deadline, after which every net.Conn can be read again.
func (l *pumpLink) release() (rest []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	l.changed.Broadcast()
	if err := l.nc.SetReadDeadline(aLongTimeAgo); err != nil {
		return nil, err
	}
	for l.loops > 0 {
		l.changed.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.outErr != nil {
		return nil, l.outErr
	}
	return l.in, l.nc.SetReadDeadline(time.Time{})
}

func (l *pumpLink) close() error {
	l.mu.Lock()
	l.closed = true
	if l.inErr == nil {
		l.inErr = net.ErrClosed
	}
	if l.outErr == nil {
		l.outErr = net.ErrClosed
	}
	l.changed.Broadcast()
	l.mu.Unlock()
	if _, ok := l.nc.(*tls.Conn); ok {
		go l.nc.Close() // waits up to five seconds for room to say goodbye
		return nil
	}
	return l.nc.Close()
}
