package wire

import (
	"net/http"
	"strconv"
	"strings"
)

// sizeHint bounds the memory set aside for fields before they are parsed. A
// head with more of them pays for a map that grows, which few heads do.
const sizeHint = 128

// parseFields parses field lines up to the end of s, without an empty line
// behind them.
//
//	field-line = field-name ":" OWS field-value OWS
//
// The values are parts of s and of one slice of strings.
func parseFields(s string, limit int) (fieldSet, error) {
	if isFolded(s) {
		// RFC 9112, Section 2.2: white space between the start line and the
		// first field is not a folded line; it may hide a field.
		return fieldSet{}, &SyntaxError{What: "malformed MIME header initial line: white space before the first field name"}
	}
	count := strings.Count(s, "\n")
	if count > limit {
		return fieldSet{}, &LimitError{What: "header or trailer section", Limit: int64(limit), Unit: "fields"}
	}
	set := newFieldSet(count)
	for rest := s; rest != ""; {
		name, value, next := cutField(rest)
		if name == "" {
			return fieldSet{}, fieldError(rest)
		}
		if isFolded(next) {
			return parseFields(unfold(s), limit) // no line of the result is folded
		}
		set.add(name, value)
		rest = next
	}
	return set, nil
}

// isFolded reports whether the first line of s continues the line before it.
func isFolded(s string) bool {
	return s != "" && (s[0] == ' ' || s[0] == '\t')
}

// cutField splits s behind its first field line. name is "" if that line is not
// well-formed.
//
// The value ends at the first octet that cannot be part of one, and that must
// be where the line ends: one look at each octet finds both.
func cutField(s string) (name, value, rest string) {
	colon := strings.IndexByte(s, ':')
	if colon < 0 {
		return "", "", ""
	}
	name, rest = canonicalName(s[:colon]), s[colon+1:]
	end := textEnd(rest)
	value, rest = trimOWS(rest[:end]), rest[end:]
	switch {
	case strings.HasPrefix(rest, "\r\n"):
		return name, value, rest[2:]
	case strings.HasPrefix(rest, "\n"):
		return name, value, rest[1:]
	}
	return "", "", ""
}

// fieldError says what is wrong with the first line of s, which cutField has
// rejected. It does not show what may be a value.
func fieldError(s string) error {
	line, _ := cutLine(s)
	name, _, hasColon := strings.Cut(line, ":")
	if !hasColon {
		return &SyntaxError{What: "malformed MIME header: missing colon"}
	}
	if canonicalName(name) == "" {
		return &SyntaxError{What: "malformed MIME header line: field name " + strconv.Quote(quotable(name))}
	}
	return syntaxError("malformed MIME header line: control octet in the value of", name)
}

// A fieldSet collects fields. Single values, and nearly all are, lie in slices
// of one element that are cut from one slab.
type fieldSet struct {
	header   http.Header
	slab     []string
	names    NameSet // in header
	repeated NameSet // of these, those with more than one value
}

// newFieldSet returns a fieldSet with memory set aside for count fields.
func newFieldSet(count int) fieldSet {
	count = min(count, sizeHint)
	return fieldSet{header: make(http.Header, count), slab: make([]string, 0, count)}
}

// add appends value to the values of name.
//
// Each slice cut from the slab has no spare capacity, so that appending to it,
// here or in the hands of a user, cannot reach its neighbour.
func (f *fieldSet) add(name, value string) {
	if f.names.MayHave(name) {
		if old, ok := f.header[name]; ok {
			f.header[name] = append(old, value)
			f.repeated.Add(name)
			return
		}
	}
	f.names.Add(name)
	n := len(f.slab)
	f.slab = append(f.slab, value) // in a new slab, perhaps, beside the one that earlier values are in
	f.header[name] = f.slab[n : n+1 : n+1]
}

// unfold replaces each obs-fold by a space, as RFC 9112, Section 5.2 asks user
// agents to do. The first line of s does not begin with white space.
//
// A name cannot be folded. What continues a line without a colon is dropped, so
// that the line is still an error when it is parsed.
func unfold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for s != "" {
		var line string
		line, s = cutLine(s)
		hasColon := strings.Contains(line, ":")
		b.WriteString(trimOWS(line))
		for isFolded(s) {
			line, s = cutLine(s)
			if hasColon {
				b.WriteByte(' ')
				b.WriteString(trimOWS(line))
			}
		}
		b.WriteString("\r\n") // with its CR, or a bare CR left in the line would become one
	}
	return b.String()
}

// cutLine splits s behind its first line, and removes the line's end: LF, or
// CR and LF (RFC 9112, Section 2.2 lets a recipient take LF alone). Every
// caller has made sure that s ends in LF.
func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	line, rest = s[:i], s[i+1:]
	return trimCR(line), rest
}

// trimCR removes one CR from the end of line.
func trimCR[S ~string | ~[]byte](line S) S {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// trimEmptyLine removes the empty line at the end of a section.
func trimEmptyLine(s string) string {
	return trimCR(s[:len(s)-1])
}

// trimOWS removes optional white space from both ends (RFC 9110, Section 5.6.3).
func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
