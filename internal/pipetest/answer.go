package pipetest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// answer answers req. last says that it is the last answer of the connection.
// It reports whether the connection goes on; if not, it has been ended.
func (c *serverConn) answer(req *http.Request, entry *Entry, last bool) bool {
	a := c.handler(&Exchange{Conn: c.index, Index: entry.Index, Request: req, Context: c.ctx})
	if c.plan.Mute || c.plan.Pipelining != InOrder {
		a.Early = false
	}
	var content []byte
	if !a.Early {
		var ok bool
		if content, ok = c.receiveBefore(req, entry, a); !ok {
			return false
		}
	}
	if c.plan.Mute {
		c.stayMute()
		return false
	}
	together := c.br.Buffered() > 0
	if together && c.plan.Pipelining == SilentOnPair {
		c.stayMute()
		return false
	}
	second, ok := c.delay(a)
	if !ok {
		return false
	}
	if second && c.plan.Pipelining == CloseOnSecond {
		c.end()
		return false
	}
	c.note(func() { entry.Followed = c.br.Buffered() > 0 })
	return c.respond(req, entry, a, content, last) && c.goOn(req, entry, a, together, second)
}

// receiveBefore reads the content of req, after inviting it where expected.
func (c *serverConn) receiveBefore(req *http.Request, entry *Entry, a Answer) ([]byte, bool) {
	if expectsContinue(req) && !a.No100 && !c.plan.Mute {
		if _, err := io.WriteString(c.stream, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, false
		}
	}
	return c.receiveContent(req, entry, a.Echo)
}

// delay waits as long as a says and reports whether another request was there
// at the end. Where a second request ends the connection, it ends the delay.
func (c *serverConn) delay(a Answer) (second, ok bool) {
	start := time.Now()
	if c.plan.Pipelining != InOrder {
		second = c.br.Buffered() > 0
		if !second && a.Delay > 0 {
			c.stream.SetReadDeadline(start.Add(a.Delay))
			_, err := c.br.Peek(1)
			c.stream.SetReadDeadline(time.Time{})
			second = err == nil
		}
		if second && c.plan.Pipelining == CloseOnSecond {
			return true, true
		}
	}
	return second, c.sleep(a.Delay - time.Since(start))
}

// respond sends the interim responses and the answer. It reports whether the
// connection goes on; if not, it has been ended.
func (c *serverConn) respond(req *http.Request, entry *Entry, a Answer, content []byte, last bool) bool {
	w := newResponseWriter(c, req, a, content, last && c.plan.Announce)
	complete, err := w.write()
	if err != nil {
		return false
	}
	if complete {
		c.note(func() { entry.Answered = true })
	}
	if last || a.Last || w.ends() || !complete {
		c.end()
		return false
	}
	return true
}

// goOn does what is due between an answer and the next request. It reports
// whether the connection goes on; if not, it has been ended.
func (c *serverConn) goOn(req *http.Request, entry *Entry, a Answer, together, second bool) bool {
	if a.Early {
		if _, ok := c.receiveContent(req, entry, false); !ok {
			return false
		}
	}
	switch {
	case second && c.plan.Pipelining == FirstOnly:
		c.stayMute()
		return false
	case second && c.plan.Pipelining == FirstThenClose:
		c.end()
		return false
	case together && c.plan.Pipelining == DropSecond:
		lost, entry := c.receiveHead()
		if lost == nil {
			return false
		}
		c.note(func() { entry.Dropped = true })
		_, ok := c.receiveContent(lost, entry, false)
		return ok
	}
	return true
}

// A responseWriter writes one answer.
type responseWriter struct {
	conn     *serverConn
	answer   Answer
	target   string
	content  []byte // nil if endless
	bodiless bool   // there is no content, whatever is announced
	chunked  bool
	announce bool         // say Connection: close
	buf      bytes.Buffer // goes out with the next piece
}

func newResponseWriter(c *serverConn, req *http.Request, a Answer, echo []byte, announce bool) *responseWriter {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w := &responseWriter{
		conn:     c,
		answer:   a,
		target:   req.RequestURI,
		bodiless: req.Method == "HEAD" || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified,
		chunked:  (a.Chunked || len(a.Trailer) > 0 || a.Endless) && !a.HTTP10 && !a.UntilClose,
		announce: announce || a.Close || req.Close,
	}
	switch {
	case a.Endless:
	case a.Echo:
		w.content = echo
	case a.Body != nil:
		w.content = a.Body
	default:
		w.content = Content(w.target, a.Size)
	}
	return w
}

// ends reports whether the answer is the last of its connection.
func (w *responseWriter) ends() bool {
	return w.announce || w.answer.UntilClose || w.answer.HTTP10
}

// write writes all of the answer, or as much of it as it is told.
func (w *responseWriter) write() (complete bool, err error) {
	for _, status := range w.answer.Interims {
		fmt.Fprintf(&w.buf, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
	}
	w.writeHead()
	if !w.bodiless {
		if err := w.writeContent(); err != nil {
			return false, err
		}
		if w.answer.Truncate {
			return false, w.flush()
		}
		w.writeEnd()
	}
	w.buf.WriteString(w.answer.Surplus)
	return true, w.flush()
}

func (w *responseWriter) writeHead() {
	proto := "HTTP/1.1"
	if w.answer.HTTP10 {
		proto = "HTTP/1.0"
	}
	fmt.Fprintf(&w.buf, "%s %d %s\r\n", proto, w.answer.Status, http.StatusText(w.answer.Status))
	header := w.answer.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	w.addFraming(header)
	if w.announce && header["Connection"] == nil {
		header.Set("Connection", "close")
	}
	header.Write(&w.buf)
	w.buf.WriteString("\r\n")
}

// addFraming adds the fields that say where the content ends.
func (w *responseWriter) addFraming(header http.Header) {
	a := w.answer
	switch {
	case header["Content-Length"] != nil, header["Transfer-Encoding"] != nil:
	case a.Status == http.StatusNoContent, a.Status == http.StatusNotModified:
	case w.chunked:
		header.Set("Transfer-Encoding", "chunked")
		if names := slices.Sorted(maps.Keys(a.Trailer)); len(names) > 0 {
			header["Trailer"] = names
		}
	case !a.UntilClose && !a.Endless:
		header.Set("Content-Length", strconv.Itoa(len(w.content)))
	}
}

// writeContent writes the content in pieces, up to where it is to be cut.
func (w *responseWriter) writeContent() error {
	size := w.answer.Piece
	var source io.Reader = bytes.NewReader(w.content)
	switch {
	case w.answer.Endless && w.answer.Truncate:
		source = io.LimitReader(ContentReader(w.target), int64(w.answer.TruncateAt))
	case w.answer.Endless:
		source = ContentReader(w.target)
	case w.answer.Truncate:
		source = bytes.NewReader(w.content[:min(w.answer.TruncateAt, len(w.content))])
	}
	if size <= 0 {
		size = max(1, len(w.content))
		if w.answer.Endless {
			size = 4096
		}
	}
	piece := make([]byte, size)
	for {
		n, err := io.ReadFull(source, piece)
		if n > 0 {
			if err := w.writePiece(piece[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the source has ended
		}
	}
}

// writePiece writes one piece of content, after a pause if there is one. The
// head goes out before the pause.
func (w *responseWriter) writePiece(piece []byte) error {
	if w.answer.Pace > 0 {
		if err := w.flush(); err != nil {
			return err
		}
		if !w.conn.sleep(w.answer.Pace) {
			return w.conn.ctx.Err()
		}
	}
	if w.chunked {
		fmt.Fprintf(&w.buf, "%x\r\n", len(piece))
	}
	w.buf.Write(piece)
	if w.chunked {
		w.buf.WriteString("\r\n")
	}
	if w.answer.Piece == 0 && !w.answer.Endless {
		return nil // all of it leaves together with what follows
	}
	return w.flush()
}

// writeEnd ends chunked content. Without it the content is incomplete.
func (w *responseWriter) writeEnd() {
	if !w.chunked {
		return
	}
	w.buf.WriteString("0\r\n")
	w.answer.Trailer.Write(&w.buf)
	w.buf.WriteString("\r\n")
}

func (w *responseWriter) flush() error {
	if w.buf.Len() == 0 {
		return nil
	}
	_, err := w.conn.stream.Write(w.buf.Bytes())
	w.buf.Reset()
	return err
}
