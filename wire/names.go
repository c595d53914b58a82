package wire

import (
	"math/bits"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Classes of octets, as bits.
const (
	isTokenOctet = 1 << iota // tchar (RFC 9110, Section 5.6.2)
	isLowerOctet             // a to z
	isUpperOctet             // A to Z
	isTextOctet              // HTAB, SP, VCHAR and obs-text (RFC 9110, Section 5.5)
)

// octets classifies each octet.
var octets = func() (table [256]uint8) {
	for c := range len(table) {
		switch {
		case 'a' <= c && c <= 'z':
			table[c] = isTokenOctet | isLowerOctet
		case 'A' <= c && c <= 'Z':
			table[c] = isTokenOctet | isUpperOctet
		case '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0:
			table[c] = isTokenOctet
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			table[c] |= isTextOctet
		}
	}
	return table
}()

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isText reports whether s has no control octets but HTAB in it.
func isText(s string) bool { return textEnd(s) == len(s) }

// textEnd returns the index of the first control octet in s that is not HTAB,
// or len(s). It looks at eight octets at once, because values are most of a
// head.
func textEnd(s string) int {
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		controls := findControls(eightOctets(s[i:]))
		if controls == 0 {
			continue
		}
		first := i + bits.TrailingZeros64(controls)/8
		if s[first] != '\t' {
			return first
		}
		i = first - 7 // go on behind the HTAB
	}
	for i < len(s) && octets[s[i]]&isTextOctet != 0 {
		i++
	}
	return i
}

// eightOctets returns the first eight octets of s in one word.
func eightOctets(s string) uint64 {
	_ = s[7] // one bounds check; the compiler makes one load of the rest
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// findControls looks for octets less than 0x20 or equal to 0x7f among the eight
// in x. The lowest bit set in the result is in the first of them; the result is
// 0 if there are none.
//
// Subtracting sets the high bit of an octet that is too small, unless it was set
// before. A borrow can disturb the octets behind such an octet, but only those.
func findControls(x uint64) uint64 {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	less := (x - 0x20*ones) &^ x
	del := x ^ 0x7f*ones
	equal := (del - ones) &^ del
	return (less | equal) & highs
}

// IsFieldName reports whether name is a token (RFC 9110, Section 5.6.2), as common
// names are known to be.
func IsFieldName(name string) bool {
	return name != "" && (name == commonNames[commonSlot(name)].canonical || httpguts.ValidHeaderFieldName(name))
}

// IsFieldValue reports whether value has no control octets but HTAB in it, and so
// can be written as it is (RFC 9110, Section 5.5).
func IsFieldValue(value string) bool { return isText(value) }

// canonicalName returns the canonical form of a name, which is net/http's: upper
// case at the beginning and behind each hyphen, lower case elsewhere. It is "" if
// this is not a name that a field can have.
//
// It allocates only for names that are neither canonical nor common.
func canonicalName(name string) string {
	if name == "" {
		return ""
	}
	slot := commonSlot(name)
	switch c := &commonNames[slot]; name {
	case c.canonical:
		return name
	case c.lower:
		return c.canonical
	}
	if common := findCommon(name, slot); common != "" {
		return common
	}
	return recase(name)
}

// canonical is canonicalName for names from a trusted place: those that have no
// canonical form are returned as they are.
func canonical(name string) string {
	if c := canonicalName(name); c != "" {
		return c
	}
	return name
}

// recase is canonicalName without common names.
func recase(name string) string {
	wrong := uint8(isLowerOctet) // the case that would not be canonical here
	for i := range len(name) {
		if octets[name[i]]&(isTokenOctet|wrong) != isTokenOctet {
			return recaseFrom(name, i)
		}
		wrong = isUpperOctet
		if name[i] == '-' {
			wrong = isLowerOctet
		}
	}
	return name
}

// recaseFrom is recase for a name that is canonical up to the octet at i.
func recaseFrom(name string, i int) string {
	b := []byte(name)
	upper := i == 0 || b[i-1] == '-'
	for ; i < len(b); i++ {
		class := octets[b[i]]
		switch {
		case class&isTokenOctet == 0:
			return nameWithSpace(name)
		case upper && class&isLowerOctet != 0, !upper && class&isUpperOctet != 0:
			b[i] ^= 0x20
		}
		upper = b[i] == '-'
	}
	return string(b)
}

// nameWithSpace takes a name with spaces in it as it is, because net/http does
// and some servers send such names. The exceptions, for which it returns "", are
// names that frame the message for recipients which skip white space before the
// colon.
func nameWithSpace(name string) string {
	for i := range len(name) {
		if name[i] != ' ' && octets[name[i]]&isTokenOctet == 0 {
			return ""
		}
	}
	trimmed := trimOWS(name)
	if strings.EqualFold(trimmed, "Content-Length") || strings.EqualFold(trimmed, "Transfer-Encoding") {
		return ""
	}
	return name
}
