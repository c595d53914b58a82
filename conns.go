package httppipe

import "slices"

// A connSet holds the connections of a place: first those that carry something, then
// the idle ones, that used last first. So who looks for one to join does not go through
// all that are kept for later. The zero value is empty.
type connSet struct {
	all  []*conn
	busy int // how many of them carry something
}

// carrying returns those that carry something. The slice is valid until the next change.
func (s *connSet) carrying() []*conn { return s.all[:s.busy] }

// idle returns those that carry nothing. The slice is valid until the next change.
func (s *connSet) idle() []*conn { return s.all[s.busy:] }

// add adds c, which carries nothing.
func (s *connSet) add(c *conn) { s.all = slices.Insert(s.all, s.busy, c) }

// took takes note that c carries something.
func (s *connSet) took(c *conn) {
	i := s.busy + slices.Index(s.idle(), c)
	copy(s.all[s.busy+1:], s.all[s.busy:i])
	s.all[s.busy] = c
	s.busy++
}

// gave takes note that c carries nothing any more.
func (s *connSet) gave(c *conn) {
	i := slices.Index(s.carrying(), c)
	s.busy--
	s.all[i], s.all[s.busy] = s.all[s.busy], c
}

// remove removes c, if it is there.
func (s *connSet) remove(c *conn) {
	if slices.Contains(s.carrying(), c) {
		s.gave(c)
	}
	if i := slices.Index(s.all, c); i >= 0 {
		s.all = slices.Delete(s.all, i, i+1)
	}
}
