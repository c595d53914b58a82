package pipeline

import (
	"io"
	"os"
)

// turn is about the most content that a source hands over at a time, so that an
// answer which arrives in mid-upload is noticed however fast the peer reads.
const turn = 256 << 10

// longTurn is a turn of content of which one system call moves so much: that is
// quick, and to be called more often costs more.
const longTurn = 1 << 20

// A source yields the content of one request, in steps that do not block on the
// connection.
type source interface {
	// sendTo hands over as much as fits now, but no more than about a turn, and at
	// most owed octets if owed is not negative. done says that the source has
	// ended, or that owed is reached. If it has not, and nothing is kept back, it
	// can be called again at once.
	sendTo(c *Conn, owed int64) (done bool, err error)
}

// newSource chooses how content from r is sent over c, owed octets of it or, if
// owed is negative, all there are.
func newSource(c *Conn, r io.Reader, owed int64) source {
	if f := fileOf(r); f != nil && owed > 0 {
		if s := newFileSource(c.link, f); s != nil {
			return s
		}
	}
	return &stream{r: r}
}

// fileOf returns the file that r is, or that it says it yields the rest of; nil if
// there is none.
func fileOf(r io.Reader) *os.File {
	switch r := r.(type) {
	case *os.File:
		return r
	case interface{ File() *os.File }:
		return r.File()
	}
	return nil
}

// sendSource sends a turn of content from src, or less if that would block. done
// says that the request is complete: all octets are serialised.
func (c *Conn) sendSource(src source) (done bool, err error) {
	c.mu.Lock()
	ex, owed, trailer, state := c.sending, c.owed, c.trailer, c.send
	c.mu.Unlock()
	switch state {
	case sendReady:
		return true, nil
	case sendHold:
		return false, &StateError{"send content", "the request waits for 100 (Continue)"}
	}
	if done, err = src.sendTo(c, owed); !done || err != nil {
		return false, err
	}
	return true, c.endContent(ex, trailer)
}

// memory is content that lies in memory; nothing is copied that fits.
type memory struct{ p []byte }

func (s *memory) sendTo(c *Conn, owed int64) (done bool, err error) {
	n, err := c.tryWrite(s.p[:min(len(s.p), longTurn)])
	s.p = s.p[n:]
	return len(s.p) == 0, err
}

// streamBuffer is how much of a stream is read at a time: that of io.Copy.
const streamBuffer = 32 << 10

// stream is content from any reader. Reading from it may block.
type stream struct {
	r    io.Reader
	buf  []byte
	p    []byte // read and not yet handed over: part of buf
	rErr error  // why r yields no more

	// verify says that the content of a known length has to be all that r yields.
	verify bool
}

func (s *stream) sendTo(c *Conn, owed int64) (done bool, err error) {
	for sent := 0; ; {
		n, err := c.tryWrite(s.p)
		s.p = s.p[n:]
		sent += n
		if owed > 0 {
			owed -= int64(n)
		}
		switch {
		case err != nil:
			return false, err
		case owed == 0 && s.verify:
			return s.atEnd(c)
		case owed == 0 || len(s.p) == 0 && s.rErr == io.EOF:
			return true, nil
		case len(s.p) > 0 || sent >= turn:
			return false, nil
		case s.rErr != nil:
			return false, s.rErr
		}
		s.read(owed)
	}
}

// read reads octets, no more than are owed.
func (s *stream) read(owed int64) {
	if s.buf == nil {
		s.buf = make([]byte, streamBuffer)
	}
	limit := int64(len(s.buf))
	if owed > 0 {
		limit = min(limit, owed)
	}
	n, err := s.r.Read(s.buf[:limit])
	s.p, s.rErr = s.buf[:n], err
}

// atEnd finds out whether r ends where the content does. What is kept back is
// handed over first, because r may have to be waited for.
func (s *stream) atEnd(c *Conn) (done bool, err error) {
	if s.rErr == nil && c.kept() {
		return false, nil
	}
	for n := 0; s.rErr == nil; {
		if n, s.rErr = s.r.Read(s.buf[:1]); n > 0 && s.rErr == nil {
			s.rErr = &StateError{"send content", "more content than was announced"}
		}
	}
	if s.rErr == io.EOF {
		return true, nil
	}
	return false, s.rErr
}
