//go:build race

package httppipe_test

// underRace says that the race detector makes everything ten times slower: what is
// repeated many times is then repeated less often.
const underRace = true
