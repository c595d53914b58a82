package wire

import "fmt"

// A SyntaxError reports octets from the peer that are not an HTTP/1.1 message.
// The connection they came from has lost its framing and must be closed.
type SyntaxError struct {
	What   string // what is wrong, for example "malformed HTTP version"
	Octets string // the beginning of the octets in question, at most 64 of them; may be empty
}

// Error quotes the octets, so that the text is safe to print. It has no prefix:
// callers say which response it was.
func (e *SyntaxError) Error() string {
	if e.Octets == "" {
		return e.What
	}
	return fmt.Sprintf("%s %q", e.What, e.Octets)
}

// maxQuoted is how many octets of the peer a SyntaxError shows: enough to
// recognise another protocol or an HTML page by.
const maxQuoted = 64

// syntaxError makes a SyntaxError that shows the beginning of octets.
func syntaxError[S ~string | ~[]byte](what string, octets S) error {
	return &SyntaxError{What: what, Octets: string(octets[:min(len(octets), maxQuoted)])}
}

// An UnsupportedError reports a transfer coding that this package does not
// know. The peer may be right to use it, but the end of its message cannot be
// found, and so the connection must be closed all the same.
type UnsupportedError struct {
	Coding string // what Transfer-Encoding said, at most 64 octets of it
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported transfer encoding: %q", e.Coding)
}

// A LimitError reports that the peer sent more than [Limits] allows.
type LimitError struct {
	What  string // what was too large, for example "server response headers"
	Limit int64  // the limit that was exceeded
	Unit  string // what is counted: "bytes" or "fields"
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeded %d %s", e.What, e.Limit, e.Unit)
}

// A RequestError reports a request that must not be written: it is the
// caller's mistake, and not one octet of it has been sent.
type RequestError struct {
	What string // what is invalid, for example "header field value for"
	Name string // the method, field or trailer name in question; never a field value, may be empty
}

func (e *RequestError) Error() string {
	if e.Name == "" {
		return "invalid " + e.What
	}
	return fmt.Sprintf("invalid %s %q", e.What, e.Name)
}
