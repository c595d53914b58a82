package pipetest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// modulePath begins the name of every function of this module.
const modulePath = "github.com/httppipe/httppipe"

// VerifyNoLeaks fails t if goroutines of this module are still running. Call
// it last, usually deferred first. Those about to end get time to do so.
// Goroutines of other tests count too, so it is no use in a parallel test.
func VerifyNoLeaks(t testing.TB) {
	t.Helper()
	if leaked := waitForLeaks(patience); len(leaked) > 0 {
		t.Errorf("%d goroutines leaked:\n\n%s", len(leaked), strings.Join(leaked, "\n\n"))
	}
}

// Main runs the tests of a package and then exits, with a failure if they
// leaked goroutines. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := waitForLeaks(patience); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "%d goroutines leaked:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// waitForLeaks returns the stacks of the goroutines that are still running
// when the time is over, or nil as soon as there are none.
func waitForLeaks(bound time.Duration) []string {
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		leaked := moduleGoroutines()
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked
		}
	}
}

// moduleGoroutines returns the stacks of all goroutines that run code of this
// module or were started by it, except for the caller's and the tests' own.
func moduleGoroutines() []string {
	stacks := strings.Split(strings.TrimSpace(allStacks()), "\n\n")
	var found []string
	for _, stack := range stacks[1:] { // the first is the caller's
		if strings.Contains(stack, modulePath) && !isTestRunner(stack) {
			found = append(found, stack)
		}
	}
	return found
}

func allStacks() string {
	buf := make([]byte, 1<<20)
	for {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}

// isTestRunner reports whether package testing will end the goroutine.
func isTestRunner(stack string) bool {
	for _, frame := range []string{"testing.tRunner(", "testing.(*M).Run(", "testing.(*F).Fuzz", "testing.(*B)."} {
		if strings.Contains(stack, "\n"+frame) {
			return true
		}
	}
	return false
}
