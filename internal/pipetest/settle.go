package pipetest

import (
	"testing/synctest"
	"time"
)

// patience is how long a Want method waits outside a bubble before it fails.
// It decides nothing in a test that passes.
const patience = 10 * time.Second

// grace is what something unwanted gets to happen in, outside a bubble.
const grace = 5 * time.Millisecond

// A settler waits for the goroutines of a test to have done what they can.
type settler struct {
	bubble bool // the test runs inside a synctest bubble
}

func newSettler() settler { return settler{bubble: inBubble()} }

// inBubble reports whether the calling goroutine is in a synctest bubble.
// There is no other way to ask than to try what panics outside of one.
func inBubble() (in bool) {
	defer func() { in = recover() == nil }()
	synctest.Wait()
	return true
}

// eventually returns "" once complaint does. If that does not happen it
// returns the last complaint.
func (s settler) eventually(complaint func() string) string {
	if s.bubble {
		synctest.Wait()
		return complaint()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if c := complaint(); c == "" || time.Now().After(deadline) {
			return c
		}
	}
}

// still returns the complaint once everything that can happen without time
// passing has happened.
func (s settler) still(complaint func() string) string {
	if s.bubble {
		synctest.Wait()
	} else {
		time.Sleep(grace)
	}
	return complaint()
}
