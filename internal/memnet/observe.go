package memnet

import (
	"bytes"
	"net"
	"slices"
	"time"
)

// Addr is the address of an end, as host:port.
type Addr string

// Network returns "tcp", so that code which looks finds what it expects.
func (Addr) Network() string { return "tcp" }

func (a Addr) String() string { return string(a) }

// LocalAddr returns the address of this end, an [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end, an [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Peer returns the other end.
func (c *Conn) Peer() *Conn { return c.peer }

// Stats counts what one end did.
type Stats struct {
	Reads, Writes int   // calls begun and calls finished, respectively
	OctetsRead    int64 // taken by Read
	OctetsWritten int64 // taken from Write, whether they arrived or not
	Acks          int   // calls of AckNow
}

// Stats returns the counts so far.
func (c *Conn) Stats() Stats {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.stats
}

// AckNow is where an acknowledgement would be sent, if there were any. It is counted.
func (c *Conn) AckNow() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.stats.Acks++
}

// WriteLog returns a copy of the octets that each finished Write of this end
// handed over, in order. It is empty without [LogWrites].
func (c *Conn) WriteLog() []string {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	log := make([]string, len(c.writeLog))
	for i, octets := range c.writeLog {
		log[i] = string(octets)
	}
	return log
}

// ReadLog returns a copy of the octets that each Read of this end returned, in
// order. It is empty without [LogReads].
func (c *Conn) ReadLog() []string {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	log := make([]string, len(c.readLog))
	for i, octets := range c.readLog {
		log[i] = string(octets)
	}
	return log
}

// Sent returns a copy of all octets in [Conn.WriteLog].
func (c *Conn) Sent() []byte {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return bytes.Join(slices.Clone(c.writeLog), nil)
}

// Unread returns how many octets have arrived at this end and were not read.
func (c *Conn) Unread() int {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.settleLocked(time.Now())
	return c.in.arrived.Len()
}

// SetMaxRead changes [MaxRead] for this end.
func (c *Conn) SetMaxRead(octets int) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.maxRead = octets
}

// SetMaxWrite changes [MaxWrite] for this end.
func (c *Conn) SetMaxWrite(octets int) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.maxWrite = octets
}

// SetBuffer changes how many octets can wait for this end to read them.
// Octets beyond a smaller buffer stay.
func (c *Conn) SetBuffer(octets int) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.in.capacity = octets
	c.link.changed.Broadcast()
}

// FailWrite makes writes of this end fail with err once the end has written
// octets in all, counted since it was made. The Write that crosses the
// border hands over what lies before it. A nil err ends that.
func (c *Conn) FailWrite(octets int64, err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.failWriteAt, c.failWriteErr = octets, err
	c.link.changed.Broadcast()
}
