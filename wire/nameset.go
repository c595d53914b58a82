package wire

import "net/http"

// A NameSet remembers which field names were added to it, though not exactly: some
// names share a bit. It saves most look-ups in a header of fields that it does not
// have, each of which costs as much as to parse a field. The zero value is empty.
type NameSet uint64

// Add adds a name, which must not be empty.
func (s *NameSet) Add(name string) { *s |= bitOf(name) }

// MayHave reports whether name, which must not be empty, may have been added: if
// not, it was not.
func (s NameSet) MayHave(name string) bool { return s&bitOf(name) != 0 }

// Lookup returns what h has under a canonical name, where s has the names of h: all
// of them, or none if they are not known.
func (s NameSet) Lookup(h http.Header, name string) (values []string, ok bool) {
	if s != 0 && !s.MayHave(name) {
		return nil, false
	}
	values, ok = h[name]
	return values, ok
}

// bitOf returns a set with one bit, which is the same for equal names. The factors
// are such that the 32 names most common in responses get different bits.
func bitOf(name string) NameSet {
	n := len(name)
	return 1 << ((uint(name[0]) + 18*uint(name[n-1]) + 28*uint(n)) % 64)
}
