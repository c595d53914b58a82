package wire

import (
	"bytes"
	"encoding/binary"
)

// HeadEnd looks for the empty line that ends the head at the start of b.
//
// It returns in end how many octets the head occupies. When b ends before the
// head does, end is 0, and next says where to go on: call again with more
// octets behind the same ones, and next in place of from. The first call has 0
// for from. Octets before from are not looked at again, so that a head that
// trickles in costs no more than one that comes at once.
//
// A line ends in LF, and a CR before it belongs to the line end
// (RFC 9112, Section 2.2).
func HeadEnd(b []byte, from int) (end, next int) {
	for {
		from += skipLines(b[from:])
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, len(b)
		}
		i += from
		switch rest := b[i+1:]; {
		case len(rest) == 0, len(rest) == 1 && rest[0] == '\r':
			return 0, i // whether the next line is empty is not known yet
		case rest[0] == '\n':
			return i + 2, i + 2
		case rest[0] == '\r' && rest[1] == '\n':
			return i + 3, i + 3
		}
		from = i + 1
	}
}

// skipLines returns how many octets at the start of b can be passed over in the
// search for an empty line. It looks at pairs of neighbours, seven at once, until
// the first is LF and the second may be CR or LF: anything from 0x08 to 0x0f.
func skipLines(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	rest := b
	for len(rest) >= 8 {
		differ := binary.LittleEndian.Uint64(rest) ^ '\n'*ones
		differ |= differ >> 8 & (0xf8 * ones)
		if (differ-ones)&^differ&(highs>>8) != 0 { // one of seven octets is 0
			break
		}
		rest = rest[7:]
	}
	return len(b) - len(rest)
}

// A HeadScanner finds and parses a response head that arrives in pieces. It
// remembers how far it has looked, and is otherwise [ParseResponseHead].
//
// The zero value is ready to use, and it is ready for the next head after it
// has parsed one.
type HeadScanner struct {
	next    int  // octets known not to end the head
	startOK bool // the status line has arrived and is well-formed
}

// Reset forgets the octets seen so far.
func (s *HeadScanner) Reset() { *s = HeadScanner{} }

// Parse is [ParseResponseHead] for a b that grows: between calls that return 0
// and no error, the caller may move the octets and must append to them.
func (s *HeadScanner) Parse(b []byte, lim Limits) (head ResponseHead, n int, err error) {
	lim = lim.withDefaults()
	n, err = s.scan(b, lim.Head)
	if n == 0 || err != nil {
		return ResponseHead{}, 0, err
	}
	s.Reset()
	if err = head.parse(string(b[:n]), lim); err != nil {
		return ResponseHead{}, 0, err
	}
	return head, n, nil
}

// scan returns the length of the head at the start of b, or 0 if it has not
// arrived completely. It never looks at octets past the limit, so that how a
// head was cut into pieces does not decide which error it gets.
func (s *HeadScanner) scan(b []byte, limit int64) (n int, err error) {
	window := b[:min(int64(len(b)), limit)]
	n, s.next = HeadEnd(window, s.next)
	if n > 0 {
		return n, nil
	}
	if !s.startOK {
		if s.startOK, err = checkStart(window); err != nil {
			return 0, err
		}
	}
	if int64(len(b)) >= limit {
		return 0, &LimitError{What: LimitHead, Limit: limit, Unit: "bytes"}
	}
	return 0, nil
}

// checkStart looks at the beginning of a head whose end has not arrived.
// complete says that the whole status line is there and well-formed.
//
// Waiting for the end of what cannot become a head could take for ever.
func checkStart(b []byte) (complete bool, err error) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		err := new(ResponseHead).parseStatusLine(string(trimCR(b[:i])))
		return err == nil, err
	}
	const start = "HTTP/"
	if k := min(len(b), len(start)); string(b[:k]) != start[:k] {
		return false, syntaxError("malformed HTTP response", b)
	}
	return false, nil
}
