package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/httppipe/httppipe/wire"
)

// Sizes of the receiving half.
const (
	// receiveMin is the buffer of a connection that has not been busy.
	receiveMin = 4 << 10
	// receiveMax is the buffer of a busy one: many small answers for each system
	// call. Only a response head may make it larger, up to Limits.Head.
	receiveMax = 64 << 10
	// direct is the least content for which a read goes past the buffer,
	// straight into the caller's memory.
	direct = 4 << 10
	// bulk is content of which so much is read past the buffer that what comes
	// behind it probably is the same: the next read takes little more than a head,
	// so that most of its content needs not be copied.
	bulk = 16 << 10
)

// A receiver holds octets that were received and not yet parsed, and the
// framing of the response they belong to. It does no I/O.
type receiver struct {
	buf    []byte // buf[r:w] is not parsed
	r, w   int
	window int   // how much of buf is received into, at most
	err    error // why no more octets will come; io.EOF if the peer ended in good order

	head    wire.HeadScanner
	framing wire.Framing // of the current content
	left    int64        // octets of it not yet read; Length only
	chunks  wire.ChunkedDecoder
	interim int64 // octets of interim heads since the last final one

	total  int64 // octets received, ever
	parsed int64 // octets parsed, ever
}

func (rv *receiver) buffered() []byte { return rv.buf[rv.r:rv.w] }

// space returns room to receive into, at least one octet. As often as all of it was
// used, more has arrived than fits, and it becomes larger.
func (rv *receiver) space() []byte {
	if rv.w >= rv.window {
		rv.widen()
	}
	if rv.r > 0 && (rv.r == rv.w || rv.w >= rv.window) {
		rv.w = copy(rv.buf, rv.buffered())
		rv.r = 0
	}
	return rv.buf[rv.w:rv.window]
}

// widen makes the window larger, up to receiveMax, and beyond that only if what is
// not parsed leaves no room.
func (rv *receiver) widen() {
	have := rv.w - rv.r
	rv.window = max(rv.window, receiveMin, min(4*rv.window, receiveMax))
	if have == rv.window {
		rv.window = 2 * have
	}
	if rv.window > len(rv.buf) {
		bigger := make([]byte, rv.window)
		rv.w = copy(bigger, rv.buffered())
		rv.buf, rv.r = bigger, 0
	}
}

// received accounts for octets that were read into space.
func (rv *receiver) received(m moved) {
	rv.w += m.in
	rv.total += int64(m.in)
	if m.inErr != nil && rv.err == nil {
		rv.err = m.inErr
	}
}

// parse drops n octets that were parsed.
func (rv *receiver) parse(n int) {
	rv.r += n
	rv.parsed += int64(n)
}

// trim gives back a buffer that only a busy connection needs.
func (rv *receiver) trim() {
	if rv.r == rv.w && len(rv.buf) > receiveMin {
		rv.buf, rv.r, rv.w, rv.window = nil, 0, 0, 0
	}
}

// parseHead parses the response head at the front. ok is false if more octets
// are needed.
func (rv *receiver) parseHead(lim wire.Limits) (head wire.ResponseHead, ok bool, err error) {
	head, n, err := rv.head.Parse(rv.buffered(), lim)
	if err != nil {
		return head, false, &InvalidResponseError{err}
	}
	rv.parse(n)
	return head, n > 0, nil
}

// begin starts the content that framing announces.
func (rv *receiver) begin(framing wire.Framing, lim wire.Limits) {
	rv.framing, rv.left = framing, framing.Length
	if framing.Kind == wire.Chunked {
		rv.chunks = wire.ChunkedDecoder{Limits: lim}
	}
}

// content moves content octets from the buffer into p. done says that the
// content has ended. Nothing moved, not done, and no error: more octets are
// needed.
func (rv *receiver) content(p []byte) (n int, done bool, err error) {
	switch rv.framing.Kind {
	case wire.Length:
		n = rv.move(p, rv.left)
		rv.left -= int64(n)
		done = rv.left == 0
	case wire.Chunked:
		n, done, err = rv.chunked(p)
	case wire.UntilClose:
		n = rv.move(p, int64(len(p)))
		done = n == 0 && rv.err == io.EOF
	default:
		done = true
	}
	if n == 0 && !done && err == nil && rv.err != nil && rv.r == rv.w {
		err = rv.truncated()
	}
	return n, done, err
}

// contentWaits consumes the framing in front of content, and reports whether
// content, or its end, or an error in its framing, is there to be read.
func (rv *receiver) contentWaits() bool {
	if rv.framing.Kind != wire.Chunked || rv.chunks.Remaining() > 0 {
		return rv.r < rv.w
	}
	n, err := rv.chunks.Frame(rv.buffered())
	if err != nil {
		return true
	}
	rv.parse(n)
	return rv.chunks.Done() || rv.r < rv.w
}

// move copies at most limit buffered octets into p.
func (rv *receiver) move(p []byte, limit int64) int {
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	n := copy(p, rv.buffered())
	rv.parse(n)
	return n
}

// chunked moves content out of its chunks, as much as p has room for.
func (rv *receiver) chunked(p []byte) (n int, done bool, err error) {
	for {
		if left := rv.chunks.Remaining(); left > 0 {
			k := rv.move(p[n:], left)
			rv.chunks.Skip(int64(k))
			n += k
			if k == 0 {
				return n, false, nil
			}
			continue
		}
		k, err := rv.chunks.Frame(rv.buffered())
		if err != nil {
			return n, false, &InvalidResponseError{err}
		}
		rv.parse(k)
		if rv.chunks.Done() {
			return n, true, nil
		}
		if k == 0 {
			return n, false, nil
		}
	}
}

// direct is how many of max octets may be read past the buffer into the caller's
// memory: content, and nothing but content.
func (rv *receiver) direct(max int) int {
	if rv.r != rv.w || max < direct || rv.err != nil {
		return 0
	}
	left := int64(max)
	switch rv.framing.Kind {
	case wire.Length:
		left = rv.left
	case wire.Chunked:
		left = rv.chunks.Remaining()
	}
	if left < direct {
		return 0
	}
	if left >= bulk {
		rv.r, rv.w, rv.window = 0, 0, min(rv.window, receiveMin)
	}
	return int(min(left, int64(max)))
}

// receivedDirect accounts for content that was read past the buffer.
func (rv *receiver) receivedDirect(m moved) (done bool) {
	rv.total += int64(m.in)
	rv.parsed += int64(m.in)
	if m.inErr != nil && rv.err == nil {
		rv.err = m.inErr
	}
	switch rv.framing.Kind {
	case wire.Length:
		rv.left -= int64(m.in)
		return rv.left == 0
	case wire.Chunked:
		rv.chunks.Skip(int64(m.in))
	}
	return false
}

// truncated is the error for a connection that ended inside a message.
func (rv *receiver) truncated() error {
	switch {
	case rv.err == io.EOF:
		return &ConnectionError{io.ErrUnexpectedEOF}
	case errors.Is(rv.err, net.ErrClosed):
		return &ConnectionError{rv.err} // our own doing
	}
	return &ConnectionError{fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, rv.err)}
}

// lost is the error for a connection that ended where a response was due.
func (rv *receiver) lost() error {
	if rv.err == io.EOF && rv.r < rv.w {
		return &ConnectionError{io.ErrUnexpectedEOF}
	}
	return &ConnectionError{rv.err}
}

// lostInHead is lost for where a head was due. Half a head that could not become a
// valid one says more than that it is half.
func (rv *receiver) lostInHead(lim wire.Limits) error {
	if rv.err == io.EOF && rv.r < rv.w {
		whole := append(bytes.Clone(rv.buffered()), "\r\n\r\n"...)
		if _, _, err := wire.ParseResponseHead(whole, lim); err != nil {
			return &InvalidResponseError{err}
		}
	}
	return rv.lost()
}

// trailer returns the trailer section of chunked content; nil if it had none.
func (rv *receiver) trailer() http.Header {
	if rv.framing.Kind != wire.Chunked {
		return nil
	}
	return rv.chunks.Trailer()
}
