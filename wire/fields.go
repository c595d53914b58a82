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
func parseFields(s string, limit int) (http.Header, error) {
	if isFolded(s) {
		// RFC 9112, Section 2.2: white space between the start line and the
		// first field is not a folded line; it may hide a field.
		return nil, &SyntaxError{What: "malformed MIME header initial line: white space before the first field name"}
	}
	count := strings.Count(s, "\n")
	if count > limit {
		return nil, &LimitError{What: "header or trailer section", Limit: int64(limit), Unit: "fields"}
	}
	set := fieldSet{header: make(http.Header, min(count, sizeHint)), left: count}
	for rest := s; rest != ""; {
		name, value, next, ok := cutField(rest)
		if !ok {
			return nil, fieldError(rest)
		}
		if isFolded(next) {
			return parseFields(unfold(s), limit) // no line of the result is folded
		}
		set.add(name, value)
		rest = next
	}
	return set.header, nil
}

// isFolded reports whether the first line of s continues the line before it.
func isFolded(s string) bool {
	return s != "" && (s[0] == ' ' || s[0] == '\t')
}

// cutField splits s behind its first field line. ok is false if that line is
// not well-formed.
//
// The value ends at the first octet that cannot be part of one, and that must
// be where the line ends: one look at each octet finds both.
func cutField(s string) (name, value, rest string, ok bool) {
	name, rest, ok = cutName(s)
	if !ok {
		return "", "", "", false
	}
	end := textEnd(rest)
	value, rest = trimOWS(rest[:end]), rest[end:]
	switch {
	case strings.HasPrefix(rest, "\r\n"):
		return name, value, rest[2:], true
	case strings.HasPrefix(rest, "\n"):
		return name, value, rest[1:], true
	}
	return "", "", "", false
}

// fieldError says what is wrong with the first line of s, which cutField has
// rejected. It does not show what may be a value.
func fieldError(s string) error {
	line, _ := cutLine(s)
	name, _, hasColon := strings.Cut(line, ":")
	if !hasColon {
		return &SyntaxError{What: "malformed MIME header: missing colon"}
	}
	if _, _, ok := cutName(s); !ok {
		return &SyntaxError{What: "malformed MIME header line: field name " + strconv.Quote(quotable(name))}
	}
	return syntaxError("malformed MIME header line: control octet in the value of", name)
}

// A fieldSet collects fields. Single values, and nearly all are, lie in slices
// of one element that are cut from one slab.
type fieldSet struct {
	header http.Header
	slab   []string
	left   int    // fields still to come; how large a slab may have to be
	seen   uint64 // a bit for each name in header, shared by some names
}

// add appends value to the values of name.
//
// Each slice cut from the slab has no spare capacity, so that appending to it,
// here or in the hands of a user, cannot reach its neighbour.
func (f *fieldSet) add(name, value string) {
	if f.mayHave(name) {
		if old, ok := f.header[name]; ok {
			f.header[name] = append(old, value)
			f.left--
			return
		}
	}
	if len(f.slab) == 0 {
		f.slab = make([]string, min(f.left, sizeHint))
	}
	f.slab[0] = value
	f.header[name] = f.slab[:1:1]
	f.slab = f.slab[1:]
	f.left--
}

// mayHave reports whether name may be in the header already, and remembers that
// it is from now on. It saves nearly every field a look-up in the map.
func (f *fieldSet) mayHave(name string) bool {
	mix := uint(name[0]) + uint(name[len(name)-1])<<2 + uint(len(name))*7
	bit := uint64(1) << (mix % 64)
	had := f.seen&bit != 0
	f.seen |= bit
	return had
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
