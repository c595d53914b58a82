package wire

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A ResponseHead is the status line and header section of a response.
type ResponseHead struct {
	Proto      string // for example "HTTP/1.1"
	ProtoMajor int
	ProtoMinor int
	StatusCode int
	Status     string // code and reason, for example "200 OK", as in http.Response

	// Header has canonical names and is never nil after parsing. Like
	// http.ReadResponse, parsing adds "Cache-Control: no-cache" to a response
	// that says "Pragma: no-cache" and has no Cache-Control.
	Header http.Header

	names    NameSet // in Header when it was parsed; empty if it was not
	repeated NameSet // of these, those that came more than once
}

// Values returns the values of the field with the canonical name given, or nil. It
// is Header[name], found faster if there is no such field. Of a parsed head it
// knows only what was received: a field may have been removed from Header since, or
// have other values, but one that was added may not be found.
func (h *ResponseHead) Values(name string) []string {
	values, _ := h.names.Lookup(h.Header, name)
	return values
}

// ParseResponseHead parses the response head at the start of b.
//
// n is the number of octets the head occupies. When b ends before the head
// does, n is 0 and err is nil; call again once more octets have arrived, or use
// a [HeadScanner], which does not look at the same octets twice.
// Any error is a [*SyntaxError] or a [*LimitError], and the connection
// can no longer be trusted to be in step.
//
// The returned head does not alias b. Its strings are parts of one string as
// long as the head, and the values in Header parts of one slice: keeping any of
// them keeps the whole. Appending to one of Header's slices is safe.
func ParseResponseHead(b []byte, lim Limits) (head ResponseHead, n int, err error) {
	var s HeadScanner
	return s.Parse(b, lim)
}

// parse parses a complete head, including its empty line.
// lim has its defaults filled in.
func (h *ResponseHead) parse(s string, lim Limits) error {
	line, rest := cutLine(s)
	if err := h.parseStatusLine(line); err != nil {
		return err
	}
	fields, err := parseFields(trimEmptyLine(rest), lim.Fields)
	if err != nil {
		return err
	}
	if fields.names.MayHave("Pragma") {
		fields.fixPragma()
	}
	h.Header, h.names, h.repeated = fields.header, fields.names, fields.repeated
	return nil
}

// parseStatusLine parses a line without its line end.
//
//	status-line = HTTP-version SP status-code SP [ reason-phrase ]
//
// As in net/http, more than one space may precede the status code, and the
// space behind it may be missing along with the reason (RFC 9112, Section 4).
func (h *ResponseHead) parseStatusLine(line string) (err error) {
	space := strings.IndexByte(line, ' ')
	if space < 0 || !isText(line) {
		return syntaxError("malformed HTTP response", line)
	}
	h.Proto, h.Status = line[:space], trimSpaces(line[space:])
	var ok bool
	if h.StatusCode, ok = parseStatusCode(h.Status); !ok {
		code, _, _ := strings.Cut(h.Status, " ")
		return syntaxError("malformed HTTP status code", code)
	}
	if h.ProtoMajor, h.ProtoMinor, ok = parseVersion(h.Proto); !ok {
		return syntaxError("malformed HTTP version", h.Proto)
	}
	return nil
}

// trimSpaces removes spaces, not tabs, from the beginning of s.
func trimSpaces(s string) string {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	return s
}

// parseStatusCode takes any three digits, with nothing or a space behind them.
// Codes below 100 and above 599 mean nothing, but every recipient agrees on how
// such a response is framed.
func parseStatusCode(s string) (code int, ok bool) {
	if len(s) < 3 || !isDigit(s[0]) || !isDigit(s[1]) || !isDigit(s[2]) || len(s) > 3 && s[3] != ' ' {
		return 0, false
	}
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0'), true
}

// parseVersion parses an HTTP-version:
//
//	HTTP-version = %s"HTTP" "/" DIGIT "." DIGIT
func parseVersion(s string) (major, minor int, ok bool) {
	if len(s) != len("HTTP/1.1") || s[:5] != "HTTP/" || !isDigit(s[5]) || s[6] != '.' || !isDigit(s[7]) {
		return 0, 0, false
	}
	return int(s[5] - '0'), int(s[7] - '0'), true
}

// KeepAlive reports whether the connection may carry another exchange after
// this one, as far as this head says so (RFC 9112, Section 9.3): not if it says
// close, not in HTTP/1.0 unless it says keep-alive, and never in a version of
// HTTP that is not 1.x. See also [Framing.Persists].
//
// It must be called before [ResponseHead.TakeTransfer], which removes the
// Connection field.
func (h *ResponseHead) KeepAlive() bool {
	switch {
	case h.ProtoMajor != 1, h.saysClose():
		return false
	case h.ProtoMinor == 0:
		return httpguts.HeaderValuesContainsToken(h.Values("Connection"), "keep-alive")
	}
	return true
}

// saysClose reports whether "close" is among the connection options.
func (h *ResponseHead) saysClose() bool {
	return httpguts.HeaderValuesContainsToken(h.Values("Connection"), "close")
}

// fixPragma makes "Pragma: no-cache", which HTTP/1.0 servers used to send, mean
// what "Cache-Control: no-cache" means (RFC 9111, Section 5.4).
func (f *fieldSet) fixPragma() {
	pragma := f.header["Pragma"]
	if len(pragma) == 0 || pragma[0] != "no-cache" {
		return
	}
	if _, ok := f.header["Cache-Control"]; !ok {
		f.add("Cache-Control", "no-cache")
	}
}
