package wire

// A NameSet remembers which field names were added to it, though not exactly: some
// names share a bit. It saves most look-ups in a header of fields that it does not
// have, each of which costs as much as to parse a field. The zero value is empty.
type NameSet uint64

// Add adds a name, which must not be empty.
func (s *NameSet) Add(name string) { *s |= bitOf(name) }

// MayHave reports whether name, which must not be empty, may have been added: if
// not, it was not.
func (s NameSet) MayHave(name string) bool { return s&bitOf(name) != 0 }

// bitOf returns a set with one bit, which is the same for equal names. The factors
// are such that the 32 names most common in responses get different bits.
func bitOf(name string) NameSet {
	n := len(name)
	return 1 << ((uint(name[0]) + 18*uint(name[n-1]) + 28*uint(n)) % 64)
}
