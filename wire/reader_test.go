package wire

import (
	"errors"
	"net/http"
	"strings"
)

// errMore says that a connection ended within a message.
var errMore = errors.New("the message is not complete")

// An answer is one response as read from a scripted connection.
type answer struct {
	head     ResponseHead
	framing  Framing
	transfer Transfer
	content  string
	trailer  http.Header
	consumed int
	err      error
}

// A responseReader reads one response from octets that arrive in pieces, the
// way a connection would: what is not consumed is presented again, with more
// behind it.
type responseReader struct {
	method  string
	lim     Limits
	buf     []byte // arrived and not consumed
	scanner HeadScanner
	chunks  ChunkedDecoder
	hasHead bool
	left    int64 // for Length
	content strings.Builder
	answer
}

// readAnswer reads the response to a method from octets that arrive as reads,
// and then the end of the connection.
func readAnswer(method string, lim Limits, reads ...string) answer {
	r := &responseReader{method: method, lim: lim}
	r.chunks.Limits = lim
	for _, octets := range reads {
		r.buf = append(r.buf, octets...)
		for !r.complete() && r.err == nil && r.step() {
		}
		if r.complete() || r.err != nil {
			break
		}
	}
	if !r.complete() && r.err == nil && (!r.hasHead || r.framing.Kind != UntilClose) {
		r.err = errMore
	}
	r.answer.content = r.content.String()
	r.answer.trailer = r.chunks.Trailer()
	return r.answer
}

// step consumes what it can and reports whether that was anything.
func (r *responseReader) step() bool {
	n := 0
	switch {
	case !r.hasHead:
		n = r.readHead()
	case r.framing.Kind == Chunked:
		var data []byte
		data, n, r.err = r.chunks.Next(r.buf)
		r.content.Write(data)
	case r.framing.Kind == Length:
		n = int(min(r.left, int64(len(r.buf))))
		r.left -= int64(n)
		r.content.Write(r.buf[:n])
	default:
		n = len(r.buf)
		r.content.Write(r.buf)
	}
	if n < 0 || n > len(r.buf) {
		panic("consumed more than there was")
	}
	clear(r.buf[:n]) // whoever aliases them will notice
	r.buf = r.buf[n:]
	r.consumed += n
	return n > 0
}

func (r *responseReader) readHead() (n int) {
	r.head, n, r.err = r.scanner.Parse(r.buf, r.lim)
	if n == 0 || r.err != nil {
		return 0
	}
	r.hasHead = true
	if r.framing, r.err = ResponseFraming(r.method, &r.head); r.err != nil {
		return n
	}
	r.left = r.framing.Length
	r.transfer, r.err = r.head.TakeTransfer(r.method, r.framing)
	return n
}

func (r *responseReader) complete() bool {
	if !r.hasHead {
		return false
	}
	switch r.framing.Kind {
	case Chunked:
		return r.chunks.Done()
	case Length:
		return r.left == 0
	case UntilClose:
		return false
	}
	return true
}
