package origin

import "bytes"

// maxNumber keeps numbers in paths and fields from overflowing.
const maxNumber = 1 << 40

// value returns the value of the first field with that name in a header
// section, or nil.
func value(fields []byte, name string) []byte {
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

// hasValue reports whether the field's whole value is want, in any case.
func hasValue(fields []byte, name, want string) bool {
	return bytes.EqualFold(value(fields, name), []byte(want))
}

// number reads the decimal digits at the start of b; none are 0.
func number(b []byte) int {
	n := 0
	for _, d := range b {
		if d < '0' || d > '9' || n > maxNumber {
			break
		}
		n = n*10 + int(d-'0')
	}
	return n
}
