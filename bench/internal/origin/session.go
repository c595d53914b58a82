package origin

import (
	"bytes"
	"errors"
	"strconv"
	"time"
)

const (
	// inputSize holds the heads that arrive in one read: a thousand of them.
	inputSize = 128 << 10

	// outputHigh is the amount of unsent output above which no more requests
	// are parsed, so that a client which does not read cannot make us buffer
	// without bound.
	outputHigh = 4 << 20
)

var (
	errHeadTooLarge = errors.New("request head too large")
	errChunkSize    = errors.New("malformed chunk size")
)

// A session is the HTTP side of one connection: octets in, octets out. It has
// no socket and no clock, and belongs to one goroutine.
type session struct {
	canned *canned

	in   []byte // in[r:w] is received and not yet parsed
	r, w int
	out  []byte // out[sent:] is not yet written
	sent int

	framing framing       // of the request content being received
	delay   time.Duration // of the response due next; set by /slow
	size    int           // of its content, in octets
	stalled bool          // the delay runs: nothing is parsed until resume
	closing bool          // the client asked to close; nothing more is parsed
}

func newSession(c *canned) *session { return &session{canned: c, in: make([]byte, inputSize)} }

// space returns room to read into. It is never empty unless err is set.
func (s *session) space() ([]byte, error) {
	if s.r > 0 {
		s.w = copy(s.in, s.in[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.in) {
		return nil, errHeadTooLarge
	}
	return s.in[s.w:], nil
}

// received says that n octets were read into space.
func (s *session) received(n int) { s.w += n }

// droppable is the number of octets to come that need not be looked at.
// Whoever can drop them in the kernel reports it with dropped.
func (s *session) droppable() int64 {
	if s.r < s.w {
		return 0
	}
	return s.framing.skip
}

func (s *session) dropped(n int64) { s.framing.skip -= n }

// output is what waits to be written; wrote says how much of it was.
func (s *session) output() []byte { return s.out[s.sent:] }

func (s *session) wrote(n int) {
	s.sent += n
	if s.sent == len(s.out) {
		s.out, s.sent = s.out[:0], 0
	}
}

// wantsInput reports whether reading more is of use now.
func (s *session) wantsInput() bool {
	return !s.stalled && !s.closing && len(s.output()) < outputHigh
}

// finished reports whether the connection should be closed.
func (s *session) finished() bool { return s.closing && !s.stalled && len(s.output()) == 0 }

// parse answers the requests received so far, until one has to be delayed
// (stalled is set, for delay) or more input, or less output, is needed.
func (s *session) parse() error {
	for s.wantsInput() {
		unparsed := s.in[s.r:s.w]
		n, done, err := s.framing.advance(unparsed)
		s.r += n
		if err != nil {
			return err
		}
		if !done {
			return nil
		}
		if s.framing.content {
			s.framing.content = false
			s.answer(uploadContent)
			continue
		}
		i := bytes.Index(unparsed[n:], []byte("\r\n\r\n"))
		if i < 0 {
			return nil
		}
		s.r += i + 4
		s.request(unparsed[n : n+i+2])
	}
	return nil
}

// request handles one request head: its lines, each with its CRLF.
func (s *session) request(head []byte) {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	s.closing = hasValue(fields, "Connection", "close")
	size := smallContent
	if n, ok := bytes.CutPrefix(path, []byte("/b/")); ok {
		size = number(n)
	} else if ms, ok := bytes.CutPrefix(path, []byte("/slow/")); ok {
		s.delay = time.Duration(number(ms)) * time.Millisecond
	}
	if string(method) == "GET" {
		s.answer(size)
		return
	}
	if hasValue(fields, "Expect", "100-continue") {
		s.out = append(s.out, "HTTP/1.1 100 Continue\r\n\r\n"...)
	}
	closing := s.closing
	s.closing = false // not before the content has been taken
	s.framing = framingOf(fields)
	s.framing.close = closing
}

// answer puts a response into the output, or stalls.
func (s *session) answer(size int) {
	s.closing = s.closing || s.framing.close
	s.size = size
	if s.delay > 0 {
		s.stalled = true
		return
	}
	s.out = append(s.out, s.canned.response(size)...)
}

// resume puts the delayed response into the output.
func (s *session) resume() {
	s.stalled, s.delay = false, 0
	s.out = append(s.out, s.canned.response(s.size)...)
}

// framing finds the end of a request's content, without keeping any of it.
type framing struct {
	content bool  // the request that is being received may have content
	close   bool  // it asked to close
	skip    int64 // octets still to drop
	chunked bool  // chunks follow
	lineEnd bool  // a chunk's CRLF is due
	last    bool  // that chunk had size 0
}

func framingOf(fields []byte) framing {
	f := framing{content: true}
	if hasValue(fields, "Transfer-Encoding", "chunked") {
		f.chunked = true
	} else {
		f.skip = int64(number(value(fields, "Content-Length")))
	}
	return f
}

// advance consumes content at the start of b. done says that all of it is over,
// so that a head follows the n octets.
func (f *framing) advance(b []byte) (n int, done bool, err error) {
	for {
		m := min(f.skip, int64(len(b)-n))
		n += int(m)
		f.skip -= m
		switch {
		case f.skip > 0:
			return n, false, nil
		case !f.chunked:
			return n, true, nil
		}
		m2, err := f.chunkLine(b[n:])
		if m2 == 0 || err != nil {
			return n, false, err
		}
		n += m2
	}
}

// chunkLine consumes the CRLF behind a chunk, or the line with the size of the
// next. It returns 0 if that is not there in full. Trailers are not understood.
func (f *framing) chunkLine(b []byte) (int, error) {
	if f.lineEnd {
		if len(b) < 2 {
			return 0, nil
		}
		f.lineEnd = false
		f.chunked = !f.last
		return 2, nil
	}
	line, _, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok {
		return 0, nil
	}
	size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 62)
	if err != nil {
		return 0, errChunkSize
	}
	f.skip, f.lineEnd, f.last = int64(size), true, size == 0
	return len(line) + 2, nil
}
