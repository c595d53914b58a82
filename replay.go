package httppipe

import (
	"errors"
	"io"
	"net/http"

	"github.com/httppipe/httppipe/pipeline"
)

// maxTries is how many times a request is sent again although the connection
// that failed had answered nothing.
const maxTries = 3

// again decides what follows after the attempt x has failed with err: another
// attempt, or the error for the caller. It is the only place that decides so.
func (rt *roundTrip) again(x *exchange, err error) (*exchange, error) {
	var failed *pipeline.CallError
	if !errors.As(err, &failed) || !rt.mayRepeat(x, failed) {
		return nil, rt.exchangeError(err)
	}
	rt.sent = rt.sent || !failed.Unsent
	if failed.Answered == 0 {
		rt.tries++
	}
	next := &exchange{arrived: x.arrived, fresh: x.fresh || failed.Head, accuses: x.silent || x.accuses}
	next.solo = next.fresh || x.solo || x.silent || failed == errMisplaced
	if body := rt.out.body; body != nil {
		again, ok, bodyErr := body.rewound(rt.out.req)
		if bodyErr != nil {
			return nil, bodyErr
		}
		if !ok {
			return nil, rt.exchangeError(err)
		}
		rt.out.body = again
		if again.rc != body.rc {
			if err := rt.out.takeMemory(again.length); err != nil {
				return nil, rt.exchangeError(err)
			}
		}
	}
	rt.t.stats.replays.Add(1)
	return next, nil
}

// errMisplaced is the failure of an attempt that got a response which may have been
// meant for another request. That the connection ends is nobody's fault.
var errMisplaced = &pipeline.CallError{
	Err:      errors.New("httppipe: 400 (Bad Request) on a connection with several requests in flight"),
	Answered: 1,
}

// misplaced reports whether the response to x may be the answer to another request.
// Servers that cannot make sense of a request, or of where it begins, answer 400
// (Bad Request) and close; and some do so in place of the oldest answer that they
// owe, although the fault is in a later request. Alone, each gets its own.
func (x *exchange) misplaced() bool {
	head := &x.call.Response
	if head.StatusCode != http.StatusBadRequest || head.KeepAlive() && x.call.Framing.Persists() {
		return false
	}
	p := x.conn.place
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return x.joined || x.followed
}

// mayRepeat applies RFC 9110, Section 9.2.2, and RFC 9112, Section 9.3.1.
func (rt *roundTrip) mayRepeat(x *exchange, failed *pipeline.CallError) bool {
	// A connection that was idle is not new, though it has answered nothing: its peer may
	// have closed it for that.
	fresh := failed.Answered == 0 && !x.reused
	var own *bodyError
	switch {
	case errors.As(failed.Err, &own), errors.Is(failed.Err, pipeline.ErrHeadTimeout):
		return false
	case failed.Unsent:
		// Not one octet was sent, so that it may be anything. A connection that
		// never worked is reported, or it would be tried for ever.
		return !(fresh && failed.Head) && rt.tries < maxTries
	case !rt.out.replayable:
		return false
	case errors.Is(failed.Err, pipeline.ErrStalled) && !rt.out.rescuable:
		return false // its first copy may still be acted on
	case errors.Is(failed.Err, pipeline.ErrStalled), errors.Is(failed.Err, pipeline.ErrRetired):
		// Others were the cause: who read too slowly, was canceled, or got the
		// answer that was the last.
		return rt.tries < maxTries || !fresh
	case !failed.Head:
		return rt.tries < maxTries || !fresh
	}
	// It was its turn. That a used connection ends may be bad luck, once: see again.
	// Whoever ends a new one is the reason; and a peer that begins to answer, or
	// answers nonsense, has received the request.
	return !fresh && closedUnanswered(failed.Err)
}

// closedUnanswered reports whether err says that the connection ended before the
// response began, rather than that the response is bad.
func closedUnanswered(err error) bool {
	var invalid *pipeline.InvalidResponseError
	return errors.Is(err, pipeline.ErrConnectionClosed) &&
		!errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &invalid)
}
