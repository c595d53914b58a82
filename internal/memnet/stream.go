package memnet

import (
	"bytes"
	"time"
)

// A segment is octets on their way.
type segment struct {
	arrives time.Time
	octets  []byte
}

// A stream is one direction of a connection, seen from its receiving end.
// The mutex of the link guards it.
type stream struct {
	capacity  int
	held      int          // octets written and not yet read; at most capacity
	arrived   bytes.Buffer // octets that can be read
	flying    []segment    // octets still travelling, oldest first
	fin       bool         // the sender ended the stream
	finArrive time.Time    // when its receiver notices; meaningful if fin
}

// space is how many more octets the stream takes now.
func (s *stream) space() int { return max(0, s.capacity-s.held) }

// send puts a copy of p on its way. p must fit into space.
func (s *stream) send(p []byte, now time.Time, latency time.Duration) {
	s.held += len(p)
	if latency == 0 && len(s.flying) == 0 {
		s.arrived.Write(p)
		return
	}
	s.flying = append(s.flying, segment{now.Add(latency), bytes.Clone(p)})
}

// settle moves what has arrived by now to where it can be read.
func (s *stream) settle(now time.Time) {
	n := 0
	for n < len(s.flying) && !now.Before(s.flying[n].arrives) {
		s.arrived.Write(s.flying[n].octets)
		n++
	}
	s.flying = s.flying[n:]
}

// read takes up to len(p) octets that have arrived.
func (s *stream) read(p []byte) int {
	n, _ := s.arrived.Read(p)
	s.held -= n
	return n
}

// ended reports whether the receiver has the sender's end of stream.
func (s *stream) ended(now time.Time) bool {
	return s.fin && len(s.flying) == 0 && !now.Before(s.finArrive)
}

// dropFlying loses the octets that have not arrived, and the end behind them.
func (s *stream) dropFlying(now time.Time) {
	s.fin = s.ended(now)
	for _, seg := range s.flying {
		s.held -= len(seg.octets)
	}
	s.flying = nil
}

// dropArrived loses the octets that wait to be read.
func (s *stream) dropArrived() {
	s.held -= s.arrived.Len()
	s.arrived.Reset()
}
