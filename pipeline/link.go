package pipeline

import (
	"net"
	"time"
)

// A link moves the octets of one connection without blocking, or waits until
// it can. It is the only part of this package that knows how to wait.
//
// There are two back-ends: rawLink asks the operating system's non-blocking
// socket, pumpLink keeps a pair of goroutines and serves every other net.Conn.
// tlsLink is TLS on top of a rawLink.
//
// One goroutine may transfer in while another transfers out; two must not
// transfer in the same direction at the same time.
type link interface {
	// transfer reads into in and writes from out, as much as can be done now. A
	// nil slice leaves its direction alone, except that two of them are an empty
	// out. If block is set and nothing can be done, it waits until something can,
	// until the other side ends, or until interrupt.
	//
	// A result without octets and without errors means "would block", or, if
	// block is set, "interrupted". An outErr may come, once, to who reads only.
	transfer(in, out []byte, block bool) moved

	// catchUp waits until the octets that have arrived can be had by transfer. It
	// waits for goroutines of the link at most, and not for the peer.
	catchUp()

	// unsent is the number of octets that transfer took and still holds back,
	// for want of room below. A transfer with an empty out moves them on.
	unsent() int

	// delivered is how many of the octets taken by transfer may have reached
	// the network: never fewer than did.
	delivered() int64

	// writeError says why writing has failed, if it has, also where transfer had
	// taken the octets before and has reported no error. It is exact for writes
	// that ended before the caller last read: on Linux, a write may consume the
	// reset that the next read then takes for a clean end.
	writeError() error

	// interrupt makes the blocking transfer in progress, or else the next one,
	// return without octets in the directions given. Interrupts may come late
	// and without need: whoever is interrupted looks at the reason and goes on.
	interrupt(reading, writing bool)

	// release gives the connection back, to be read and written directly. rest is
	// what was received and not taken. The link is of no further use.
	release() (rest []byte, err error)

	// close ends both directions and wakes whoever waits. It does not block.
	close() error
}

// moved says what a transfer has done.
type moved struct {
	in, out       int   // octets read and taken for writing
	inErr, outErr error // why no more can be read, or written; io.EOF is an inErr
	flushed       bool  // octets of an earlier transfer were passed on
	waited        bool  // there was nothing at first; also if it came long before this process read it, where that cannot be known
}

func (m moved) nothing() bool {
	return m.in == 0 && m.out == 0 && m.inErr == nil && m.outErr == nil && !m.flushed
}

// newLink chooses the back-end for nc.
func newLink(nc net.Conn) link {
	if l := newTLSLink(nc); l != nil {
		return l
	}
	if l := newRawLink(nc); l != nil {
		return l
	}
	return newPumpLink(nc)
}

// aLongTimeAgo is the deadline that ends a wait at once.
var aLongTimeAgo = time.Unix(1, 0)
