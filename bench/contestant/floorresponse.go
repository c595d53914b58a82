package contestant

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"unsafe"
)

// readSome reads once and delivers the responses that are complete. It reports
// whether own was among them.
func (c *floorConn) readSome(own *floorCall) (answered bool, err error) {
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.nc.Read(c.buf[c.w:])
	if err != nil {
		return false, err
	}
	c.w += n
	for {
		call, err := c.readResponse()
		if call == nil || err != nil {
			return answered, err
		}
		if call == own {
			answered = true
		} else {
			call.woken <- struct{}{}
		}
	}
}

// readResponse delivers the response at the start of the buffer and returns its
// call, or nil if the response is not there in full.
func (c *floorConn) readResponse() (*floorCall, error) {
	unparsed := c.buf[c.r:c.w]
	head, length, err := leastParse(unparsed)
	if head == nil || err != nil {
		return nil, err
	}
	have := len(unparsed) - len(head)
	if length > largeContent {
		return c.readLarge(head, length)
	}
	if have < length {
		return nil, nil
	}
	// One block for head and content.
	block := bytes.Clone(unparsed[:len(head)+length])
	c.r += len(block)
	call := c.pop()
	call.resp = newFloorResponse(call.req, block[:len(head)], floorBody{b: block[len(head):]}, length)
	return call, nil
}

// readLarge reads the rest of a large response straight into pooled memory.
func (c *floorConn) readLarge(head []byte, length int) (*floorCall, error) {
	block := c.f.largeContent.Get().(*[]byte)
	if cap(*block) < length {
		*block = make([]byte, length)
	}
	content := (*block)[:length]
	n := copy(content, c.buf[c.r+len(head):c.w])
	head = bytes.Clone(head)
	c.r += len(head) + n
	if _, err := io.ReadFull(c.nc, content[n:]); err != nil {
		return nil, err
	}
	call := c.pop()
	call.resp = newFloorResponse(call.req, head, floorBody{b: content, f: c.f, pooled: block}, length)
	return call, nil
}

// A floorBody is content in memory.
type floorBody struct {
	b      []byte // unread
	f      *floor
	pooled *[]byte // to be given back; nil: none
}

func (b *floorBody) Read(p []byte) (int, error) {
	if len(b.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.b)
	b.b = b.b[n:]
	return n, nil
}

func (b *floorBody) Close() error {
	if b.pooled != nil {
		b.f.largeContent.Put(b.pooled)
		b.pooled, b.b = nil, nil
	}
	return nil
}

// newFloorResponse makes a response out of a head that leastParse has approved.
// Response, slab of values and map are all it allocates.
func newFloorResponse(req *http.Request, head []byte, body floorBody, length int) *http.Response {
	r := &struct {
		http.Response
		body floorBody
	}{body: body}
	// head is never written to again, so that its strings may alias it.
	line, fields, _ := strings.Cut(unsafe.String(&head[0], len(head)), "\r\n")
	r.Request = req
	r.Proto, r.ProtoMajor, r.ProtoMinor = line[:8], 1, 1
	r.Status = line[9:]
	r.StatusCode, _ = strconv.Atoi(line[9:12])
	r.ContentLength = int64(length)
	r.Body = &r.body
	r.Header = floorHeader(fields, bytes.Count(head, []byte("\n"))-2)
	return &r.Response
}

// floorHeader parses n field lines.
func floorHeader(fields string, n int) http.Header {
	h := make(http.Header, n)
	values := make([]string, n)
	for i := range n {
		var line string
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name) // no allocation if it is already
		values[i] = strings.TrimLeft(value, " ")
		if old, ok := h[name]; ok {
			h[name] = append(old, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	return h
}
