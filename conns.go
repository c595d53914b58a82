package httppipe

import "slices"

// A connSet holds the connections of a place: first those that carry something, then
// the idle ones, that used last first. So who looks for one to join does not go through
// all that are kept for later. The zero value is empty.
type connSet struct {
	all    []*conn
	busy   int     // how many of them carry something
	proven int     // how many have passed all steps
	looked int     // where the next look at some begins
	full   instant // when the last look at all began
}

// maxLook is how many of those that carry something are looked at for one to join, if there
// are more, and all were looked at a moment ago.
const maxLook = 64

// carrying returns those that carry something. The slice is valid until the next change.
func (s *connSet) carrying() []*conn { return s.all[:s.busy] }

// look returns those that carry something, or maxLook of them, others each time, if it has
// returned all less than minTick ago: but not in this moment, as for those who are served
// in one go.
func (s *connSet) look(now instant) []*conn {
	if since := now.Sub(s.full); s.busy <= maxLook || since == 0 || since >= minTick {
		s.full = now
		return s.carrying()
	}
	from := min(s.looked, s.busy-maxLook)
	if s.looked = from + maxLook; s.looked == s.busy {
		s.looked = 0
	}
	return s.all[from : from+maxLook]
}

// idle returns those that carry nothing. The slice is valid until the next change.
func (s *connSet) idle() []*conn { return s.all[s.busy:] }

// has reports whether c is there.
func (s *connSet) has(c *conn) bool { return c.at < len(s.all) && s.all[c.at] == c }

// put has c be the i-th.
func (s *connSet) put(i int, c *conn) { s.all[i], c.at = c, i }

// add adds c, which carries nothing.
func (s *connSet) add(c *conn) {
	s.all = append(s.all, nil)
	s.shift(len(s.all)-1, s.busy)
	s.put(s.busy, c)
	if c.proof == proofOpen {
		s.proven++
	}
}

// shift moves those from the to-th on up by one, over the from-th.
func (s *connSet) shift(from, to int) {
	for i := from; i > to; i-- {
		s.put(i, s.all[i-1])
	}
}

// took takes note that c carries something.
func (s *connSet) took(c *conn) {
	s.shift(c.at, s.busy)
	s.put(s.busy, c)
	s.busy++
}

// gave takes note that c carries nothing any more.
func (s *connSet) gave(c *conn) {
	s.busy--
	s.put(c.at, s.all[s.busy])
	s.put(s.busy, c)
}

// proved takes note that c has passed all steps.
func (s *connSet) proved(c *conn) {
	c.proof = proofOpen
	if s.has(c) {
		s.proven++
	}
}

// remove removes c, if it is there.
func (s *connSet) remove(c *conn) {
	if !s.has(c) {
		return
	}
	if c.proof == proofOpen {
		s.proven--
	}
	if c.at < s.busy {
		s.gave(c)
	}
	s.all = slices.Delete(s.all, c.at, c.at+1)
	for i := c.at; i < len(s.all); i++ {
		s.put(i, s.all[i])
	}
}
