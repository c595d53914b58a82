package pipeline

import (
	"net"
	"sync/atomic"
	"syscall"
)

// acks has the operating system acknowledge what has arrived before more is waited for.
//
// A peer that has not turned Nagle's algorithm off (RFC 9293, Section 3.7.4) sends the
// first of several small answers at once, and the others when that was acknowledged. An
// acknowledgement goes with the next request. Where there is none, it is delayed
// (Section 3.8.6.3), on Linux by 40 ms, and everybody behind the first answer waits for
// that long. nginx with tcp_nopush is such a peer.
type acks struct {
	send func()      // nil where it cannot be asked for
	owed atomic.Bool // something has arrived since anything was sent
}

// received takes note of octets that have arrived.
func (a *acks) received(n int) {
	if n > 0 {
		a.owed.Store(true)
	}
}

// sending is called before octets are written: they acknowledge what had arrived. If none
// were in the end, sent is told.
func (a *acks) sending() (owed bool) { return a.owed.Swap(false) }

func (a *acks) sent(n int, owed bool) {
	if n == 0 && owed {
		a.owed.Store(true)
	}
}

// waiting is called before octets are waited for.
func (a *acks) waiting() {
	if a.send != nil && a.owed.Swap(false) {
		a.send()
	}
}

// acknowledger returns what sends an acknowledgement for nc, or for the connection
// below it, if there is any; nil if there is no way to.
func acknowledger(nc net.Conn) func() {
	switch c := nc.(type) {
	case interface{ AckNow() }: // no socket of the operating system
		return c.AckNow
	case syscall.Conn:
		sys, err := c.SyscallConn()
		if err != nil || quickAck == nil {
			return nil
		}
		return func() { sys.Control(quickAck) }
	case interface{ NetConn() net.Conn }: // TLS
		return acknowledger(c.NetConn())
	}
	return nil
}
