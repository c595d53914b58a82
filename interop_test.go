package httppipe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// behaving is a Plan in which all connections behave alike.
func behaving(b pipetest.Behaviour) func(int) pipetest.Behaviour {
	return func(int) pipetest.Behaviour { return b }
}

// pipelinings names what servers do to a request behind another (INTEROP 1 and 2).
var pipelinings = map[string]pipetest.Pipelining{
	"in order":         pipetest.InOrder,
	"close on second":  pipetest.CloseOnSecond,
	"silent on pair":   pipetest.SilentOnPair,
	"first only":       pipetest.FirstOnly,
	"first then close": pipetest.FirstThenClose,
	"drop second":      pipetest.DropSecond,
}

// Every server that answers one request at a time is answered for, whatever it
// does to two; after some experience it does not see two again.
func TestServersThatCannotPipeline(t *testing.T) {
	for name, pipelining := range pipelinings {
		for _, conns := range []int{0, 1, 2} {
			for _, ending := range []pipetest.Ending{pipetest.EndLinger, pipetest.EndClose, pipetest.EndReset} {
				t.Run(name, func(t *testing.T) {
					server := &pipetest.Server{Plan: behaving(pipetest.Behaviour{Pipelining: pipelining, Ending: ending})}
					inWorld(t, server, func(w *world) {
						for range 10 {
							w.getAll("learn", 20, time.Minute)
						}
						if pipelining == pipetest.InOrder {
							require.Positive(w.t, pairsSeen(w))
							return
						}
						before := pairsSeen(w)
						w.getAll("convicted", 20, time.Minute)
						require.Zero(w.t, pairsSeen(w)-before, "pairs after the conviction")
					}, maxConns(conns))
				})
			}
		}
	}
}

// pairsSeen counts writes that carried more than one request.
func pairsSeen(w *world) (n int) {
	for _, c := range w.net.Conns() {
		for _, octets := range c.WriteLog() {
			if countRequests(octets) > 1 {
				n++
			}
		}
	}
	return n
}
