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
	send         func()       // nil where it cannot be asked for
	arrived      atomic.Int64 // octets
	acknowledged atomic.Int64 // of these, by octets that were sent, or because it was asked for
}

func (a *acks) received(n int) { a.arrived.Add(int64(n)) }

// sent takes note that octets were sent when so much had arrived.
func (a *acks) sent(arrived int64) { a.acknowledged.Store(arrived) }

// owed reports whether something has arrived that is not acknowledged.
func (a *acks) owed() bool { return a.send != nil && a.arrived.Load() != a.acknowledged.Load() }

// waiting is called before octets are waited for.
func (a *acks) waiting() {
	if a.owed() {
		a.acknowledged.Store(a.arrived.Load())
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
	case interface{ NetConn() net.Conn }: // TLS, and what lies below it
		return acknowledger(c.NetConn())
	}
	return nil
}
