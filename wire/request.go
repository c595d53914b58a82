package wire

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A RequestHead is the request line and header section of a request.
//
// Nothing in it is written to, so that maps may be shared with other heads.
type RequestHead struct {
	Method string // "" means GET
	Target string // as written; see [RequestTarget] (RFC 9112, Section 3.2)
	Host   string // value of the Host field, which is always written, and first

	// UserAgent is written second. If it is empty there is no such field.
	UserAgent string

	// Header is written sorted by name. Host, Content-Length, Transfer-Encoding
	// and Trailer in it are left out, however they are capitalised, and so is
	// User-Agent: they come from the other fields of RequestHead.
	// A name without values is left out as well.
	Header http.Header

	// Extra is written in the same way, behind Header. It is for what a
	// transport adds.
	Extra http.Header

	Close   bool    // write Connection: close, unless Header or Extra says so already
	Framing Framing // NoContent, Length (0 is written as well), Chunked, or Tunnel for CONNECT

	// Trailer announces the names of trailer fields. Values in it are not
	// looked at, and the whole of it only if Framing says Chunked.
	Trailer http.Header
}

// AppendRequestHead appends the octets of h to dst, the empty line included.
//
// h should be valid: see [RequestHead.Validate]. If it is not, the octets are
// still one head only: CR and LF become spaces, and fields with invalid names
// are left out. It allocates nothing except to grow dst, as long as Header and
// Extra have no more than 16 names each.
func AppendRequestHead(dst []byte, h *RequestHead) []byte {
	dst = appendClean(dst, h.method())
	dst = append(dst, ' ')
	dst = appendClean(dst, h.Target)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = appendClean(dst, h.Host)
	dst = append(dst, "\r\n"...)
	if h.UserAgent != "" {
		dst = appendField(dst, "User-Agent", h.UserAgent)
	}
	if h.Close && !saysClose(h.Header) && !saysClose(h.Extra) {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = h.appendFraming(dst)
	dst = appendFields(dst, h.Header, h.Extra)
	return append(dst, "\r\n"...)
}

func (h *RequestHead) method() string {
	if h.Method == "" {
		return "GET"
	}
	return h.Method
}

func saysClose(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Connection"], "close")
}

// appendFraming appends the fields that say how much content follows.
func (h *RequestHead) appendFraming(dst []byte) []byte {
	switch h.Framing.Kind {
	case Length:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, h.Framing.Length, 10)
		return append(dst, "\r\n"...)
	case Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		if len(h.Trailer) > 0 {
			return appendAnnouncement(dst, h.Trailer)
		}
	}
	return dst
}

// appendAnnouncement appends a Trailer field with the names of the fields to
// come (RFC 9110, Section 6.6.2).
func appendAnnouncement(dst []byte, trailer http.Header) []byte {
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		name = canonical(name)
		if IsFieldName(name) && !isFramingName(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return dst
	}
	slices.Sort(names)
	dst = append(dst, "Trailer: "...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
	}
	return append(dst, "\r\n"...)
}

// A nameValues is one entry of a header map.
type nameValues struct {
	name   string
	values []string
}

// appendFields appends the fields that are not written from elsewhere, one header
// behind the other, each sorted by name. Sorting makes requests comparable, and is
// what net/http does.
func appendFields(dst []byte, headers ...http.Header) []byte {
	var few [16]nameValues // on the stack
	for _, h := range headers {
		fields := few[:0]
		for name, values := range h {
			if len(values) > 0 && IsFieldName(name) && !isWrittenElsewhere(name) {
				fields = append(fields, nameValues{name, values})
			}
		}
		slices.SortFunc(fields, func(a, b nameValues) int { return strings.Compare(a.name, b.name) })
		for _, f := range fields {
			for _, v := range f.values {
				dst = appendField(dst, f.name, v)
			}
		}
	}
	return dst
}

// isWrittenElsewhere reports whether fields of this name come from the other
// fields of RequestHead. Names that route or frame the request are recognised
// however they are capitalised, because every recipient does so. A User-Agent of
// unusual capitals is the user's own affair.
func isWrittenElsewhere(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("User-Agent"):
		return name == "User-Agent"
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// appendField appends one field line.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = appendClean(dst, value)
	return append(dst, "\r\n"...)
}

// appendClean appends s without white space around it, and with spaces in place
// of CR and LF within, so that it cannot end the line it is in.
func appendClean(dst []byte, s string) []byte {
	s = trimSpace(s)
	start := len(dst)
	dst = append(dst, s...)
	if isText(s) {
		return dst // neither CR nor LF in it
	}
	for i := start; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}

// trimSpace removes OWS and line ends from both ends of s.
func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Each calls f for each field line that [AppendRequestHead] writes, in order.
func (h *RequestHead) Each(f func(name, value string)) {
	lines := AppendRequestHead(nil, h)
	_, rest, _ := strings.Cut(string(lines), "\r\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(rest, "\r\n\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		f(name, value)
	}
}
