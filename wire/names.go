package wire

import (
	"math/bits"
	"strings"
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

// cutName splits a field line, and what is behind it, after the name and the
// colon. It returns the name in canonical form, which is net/http's: upper case
// at the beginning and behind each hyphen, lower case elsewhere. A name that
// arrives like that is returned as it is.
func cutName(s string) (canonical, rest string, ok bool) {
	wrong := uint8(isLowerOctet) // the case that would not be canonical here
	for i := range len(s) {
		if octets[s[i]]&(isTokenOctet|wrong) != isTokenOctet {
			if s[i] == ':' && i > 0 {
				return s[:i], s[i+1:], true
			}
			return cutUnusualName(s)
		}
		wrong = isUpperOctet
		if s[i] == '-' {
			wrong = isLowerOctet
		}
	}
	return "", "", false
}

// cutUnusualName is cutName for names that are not canonical or not valid.
func cutUnusualName(s string) (canonical, rest string, ok bool) {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return "", "", false
	}
	canonical, ok = recase(s[:colon])
	return canonical, s[colon+1:], ok
}

// canonical returns the canonical form of a name from a trusted place, or the
// name itself if it has none.
func canonical(name string) string {
	if c, ok := recase(name); ok {
		return c
	}
	return name
}

// recase returns the canonical form of a name. Common names cost no allocation.
func recase(name string) (canonical string, ok bool) {
	var short [64]byte
	b := append(short[:0], name...)
	upper := true
	for i, c := range b {
		class := octets[c]
		switch {
		case class&isTokenOctet == 0:
			return nameWithSpace(name)
		case upper && class&isLowerOctet != 0, !upper && class&isUpperOctet != 0:
			b[i] = c ^ 0x20
		}
		upper = c == '-'
	}
	if common, ok := commonNames[string(b)]; ok {
		return common, true
	}
	return string(b), true
}

// nameWithSpace takes a name with spaces in it as it is, because net/http does
// and some servers send such names. The exceptions are names that frame the
// message for recipients which skip white space before the colon.
func nameWithSpace(name string) (same string, ok bool) {
	for i := range len(name) {
		if name[i] != ' ' && octets[name[i]]&isTokenOctet == 0 {
			return "", false
		}
	}
	trimmed := trimOWS(name)
	if strings.EqualFold(trimmed, "Content-Length") || strings.EqualFold(trimmed, "Transfer-Encoding") {
		return "", false
	}
	return name, true
}

// commonNames maps canonical names to themselves. Names that arrive in lower
// case, as many servers send them, need no memory of their own if they are here.
var commonNames = func() map[string]string {
	names := []string{
		"Accept", "Accept-Ch", "Accept-Encoding", "Accept-Language", "Accept-Patch", "Accept-Ranges",
		"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
		"Access-Control-Expose-Headers", "Access-Control-Max-Age",
		"Age", "Allow", "Alt-Svc", "Authorization", "Cache-Control", "Cf-Cache-Status", "Cf-Ray", "Connection",
		"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location",
		"Content-Range", "Content-Security-Policy", "Content-Type", "Cookie",
		"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "Etag", "Expect-Ct", "Expires",
		"Grpc-Message", "Grpc-Status", "Host", "Keep-Alive", "Last-Modified", "Link", "Location", "Nel",
		"Origin", "P3p", "Permissions-Policy", "Pragma", "Proxy-Authenticate", "Proxy-Connection",
		"Referrer-Policy", "Report-To", "Retry-After", "Server", "Server-Timing", "Set-Cookie", "Sourcemap",
		"Strict-Transport-Security", "Timing-Allow-Origin", "Trailer", "Transfer-Encoding", "Upgrade",
		"User-Agent", "Vary", "Via", "Warning", "Www-Authenticate",
		"X-Amz-Cf-Id", "X-Amz-Cf-Pop", "X-Amz-Id-2", "X-Amz-Request-Id", "X-Cache", "X-Cache-Hits",
		"X-Content-Type-Options", "X-Correlation-Id", "X-Dns-Prefetch-Control", "X-Download-Options",
		"X-Envoy-Upstream-Service-Time", "X-Forwarded-For", "X-Frame-Options", "X-Powered-By",
		"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Request-Id", "X-Robots-Tag",
		"X-Runtime", "X-Served-By", "X-Timer", "X-Trace-Id", "X-Ua-Compatible", "X-Xss-Protection",
	}
	m := make(map[string]string, len(names))
	for _, name := range names {
		m[name] = name
	}
	return m
}()
