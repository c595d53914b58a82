package wire

import (
	"fmt"
	"net/http"
	"strings"
)

// FramingKind says how the end of a message is found.
type FramingKind uint8

const (
	NoContent  FramingKind = iota // the message ends with its head
	Length                        // a known number of octets follows
	Chunked                       // chunks follow, and a trailer section
	UntilClose                    // content ends when the connection does; responses only
	Tunnel                        // the connection is no longer HTTP: a 101, or CONNECT
)

func (k FramingKind) String() string {
	names := [...]string{"no content", "length", "chunked", "until close", "tunnel"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("FramingKind(%d)", uint8(k))
}

// Framing says how the end of one message is found. The zero value is a message
// that ends with its head.
type Framing struct {
	Kind   FramingKind
	Length int64 // octets of content; only for Length, where it may be 0

	// Doubtful says that recipients may disagree about where this response
	// ends. It can be read, but what follows on the connection must not be
	// taken for the next response (RFC 9112, Sections 6.1 and 6.3).
	// It has no meaning in a request.
	Doubtful bool
}

// Persists reports whether another response may follow this one on the same
// connection, as far as framing goes. [ResponseHead.KeepAlive] must agree.
func (f Framing) Persists() bool {
	return !f.Doubtful && f.Kind <= Chunked
}

// ResponseFraming applies the rules of RFC 9112, Section 6.3, in their order to
// the response to a request with the given method ("" means GET).
//
// Any error is a [*SyntaxError] or an [*UnsupportedError]. As in net/http,
// malformed lengths and codings are errors also where no content can follow,
// except in a 2xx answer to CONNECT, where both fields are to be ignored.
//
// It must be called before [ResponseHead.TakeTransfer], which removes fields.
func ResponseFraming(method string, h *ResponseHead) (Framing, error) {
	if method == "CONNECT" && h.StatusCode/100 == 2 {
		return Framing{Kind: Tunnel}, nil // rule 2, which ignores the fields
	}
	length, hasLength, err := contentLength(h.Values("Content-Length"))
	if err != nil {
		return Framing{}, err // rule 5
	}
	chunked, hasCoding, err := isChunked(h)
	if err != nil {
		return Framing{}, err // rule 4
	}
	oldCoding := hasCoding && !chunked // HTTP/1.0: Section 6.1 calls it faulty framing

	switch status := h.StatusCode; {
	case status == 101:
		return Framing{Kind: Tunnel}, nil // rule 1, and RFC 9110, Section 7.8
	case method == "HEAD", status == 304:
		return Framing{}, nil // rule 1; the fields describe what a GET would have returned
	case status/100 == 1, status == 204:
		// Rule 1. Section 6.1 and RFC 9110, Section 8.6 forbid the fields here,
		// so that a server which sends them may well send the content, too.
		return Framing{Doubtful: hasCoding || length > 0}, nil
	case chunked:
		return Framing{Kind: Chunked, Doubtful: hasLength}, nil // rules 3 and 4
	case hasLength:
		return Framing{Kind: Length, Length: length, Doubtful: oldCoding}, nil // rule 6
	}
	return Framing{Kind: UntilClose, Doubtful: oldCoding}, nil // rule 8
}

// isChunked reports whether Transfer-Encoding says chunked, and whether there is
// such a field. Any other coding, and any combination of codings, is an error:
// net/http supports none, so that no server sends them to Go programs.
func isChunked(h *ResponseHead) (chunked, hasCoding bool, err error) {
	codings, hasCoding := h.names.Lookup(h.Header, "Transfer-Encoding")
	switch {
	case !hasCoding, !h.atLeast11():
		return false, hasCoding, nil // Transfer-Encoding has no meaning in HTTP/1.0
	case len(codings) != 1:
		return false, true, &UnsupportedError{Coding: quotable(strings.Join(codings, ", "))}
	case !strings.EqualFold(codings[0], "chunked"):
		return false, true, &UnsupportedError{Coding: quotable(codings[0])}
	}
	return true, true, nil
}

// quotable bounds what an error shows.
func quotable(s string) string { return s[:min(len(s), maxQuoted)] }

// atLeast11 reports whether the peer claims HTTP/1.1 or anything later.
func (h *ResponseHead) atLeast11() bool {
	return h.ProtoMajor > 1 || h.ProtoMajor == 1 && h.ProtoMinor >= 1
}

// contentLength parses the values of Content-Length. Several that are the same
// count as one; any others make the framing invalid (RFC 9112, Section 6.3,
// rule 5). A list in one value is an error even if its members are the same, as
// in net/http.
func contentLength(values []string) (n int64, ok bool, err error) {
	if len(values) == 0 {
		return 0, false, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, false, syntaxError("message cannot contain multiple Content-Length headers; got",
				strings.Join(values, ", "))
		}
	}
	if values[0] == "" {
		return 0, false, &SyntaxError{What: "invalid empty Content-Length"}
	}
	n, ok = parseDecimal(values[0])
	if !ok {
		return 0, false, syntaxError("bad Content-Length", values[0])
	}
	return n, true, nil
}

// parseDecimal parses 1*DIGIT. Signs and values of 2^63 or more are not ok.
func parseDecimal(s string) (n int64, ok bool) {
	const maxInt64 = 1<<63 - 1
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		digit := int64(s[i] - '0')
		if n > (maxInt64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, s != ""
}

// A Transfer holds what http.Response reports in fields of its own rather than
// in its Header.
type Transfer struct {
	ContentLength    int64       // -1 if it is not known
	TransferEncoding []string    // {"chunked"} or nil
	Close            bool        // the connection does not persist, or content ends with it
	Trailer          http.Header // announced names with nil values; nil if there are none
}
