package pipeline

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/httppipe/httppipe/wire"
)

// A Call is one exchange through a [Driver]. Its exported fields before Wake are
// set before [Driver.Submit] and not changed afterwards; those behind are
// results. A Call is used once; its memory may be used for another when Await has
// returned a response that is complete, to a request without content.
type Call struct {
	Request wire.RequestHead

	// Content is the content of the request, as long as Request.Framing says. If
	// it is nil, the content is read from Body.
	//
	// The memory is read until Body is closed. Without a Body, content of at most
	// 64 KiB is copied by Submit, and more is read until the call has failed or
	// its response has ended.
	Content []byte

	// Body, if not nil, is closed once, when the Driver has no more use for the
	// content, also if Submit fails. When a call ends early, that may be during a
	// Read: nothing else ends a Read that blocks.
	Body io.ReadCloser

	// ContinueTimeout, if positive, holds the content back until 100 (Continue)
	// arrives, or that long after it is the request's turn to be answered.
	ContinueTimeout time.Duration

	// HeadTimeout, if positive, is the longest time from when the request is sent
	// in full, and it is its turn to be answered, to its final response head.
	HeadTimeout time.Duration

	// Interim asks for news of what comes before the final response: interim
	// responses, which Await returns as they arrive, and Sent.
	Interim bool

	// More says that the same goroutine submits another call next: this one is
	// held back until then, so that both leave in one write. A request with
	// content is not.
	More bool

	// Prompt says that the goroutine that submits the call awaits it at once, and does
	// nothing before that may take time: so it can be woken to read for others already when
	// Submit returns.
	Prompt bool

	// Repeat says when the call may be sent again elsewhere, and so how much those
	// before it may hold it up before it fails.
	Repeat Repeat

	// Cancel, if not nil, ends Await when it is closed.
	Cancel <-chan struct{}

	// Wake is a channel of capacity 1 that the Driver signals the caller by. It
	// may be used for another Call when Await has returned a final response or
	// an error. Signals may come late and without need.
	Wake chan struct{}

	// Response is the final response head, and Framing how its content ends.
	Response wire.ResponseHead
	Framing  wire.Framing

	// Sent says, if Interim is set and Await has returned, that the request was
	// sent in full. It may still be false when the response has come.
	Sent bool

	// Yielded is how long other goroutines ran, that more requests could join this one
	// in its write, before it left: about how late this process is itself. Submit sets
	// it, for one of each write at the most, before the request can be answered.
	Yielded time.Duration

	// Found says that the response had arrived before somebody came to read it: how
	// long the peer took for it is not known then.
	Found bool

	// Cut says, from when Hooks.Left is called, that the connection has ended while the
	// content of the response was under way: what was sent behind it, if anything, is lost
	// with that.
	Cut bool

	// Final says that Await has returned the final response.
	Final bool

	exchange
	d       *Driver
	settled atomic.Bool // Await has something final to return; set after Left was told
	told    toldCalls   // by this call's caller, while it owns the receiving half
	next    *Call       // in another call's told

	// Guarded by d.c.mu, until the call is settled.
	state   callState
	asleep  bool                // its caller waits to be woken, or is about to, and can read for others
	waits   bool                // in the backlog: not even serialised
	closed  bool                // Body was closed, or is about to be
	streams bool                // the content is read from the connection
	gone    bool                // see Gone
	err     error               // why there is no final response
	interim []wire.ResponseHead // not yet returned by Await
	heads   int64               // octets of interim heads that Await has not returned
	sent    bool                // in full
	begun   bool                // an interim response has arrived
	upload  source              // content not yet sent
	memory  memory              // is upload, if the content is in memory
	trailer http.Header         // of the response
	body    body
}

// A Repeat says when a request of which octets were sent may be sent again.
type Repeat uint8

const (
	RepeatAnytime Repeat = iota // also while its first copy may still be answered
	RepeatAfter                 // when its connection has ended
	RepeatNever
)

// callState says how far a Call has come.
type callState uint8

const (
	callWaiting   callState = iota // no final response head yet
	callBody                       // the content is read from the connection
	callComplete                   // nothing more will come from the connection
	callAbandoned                  // nobody wants the response any more
	callFailed                     // there is no response: see err
)

// A CallError says why a call got no final response.
type CallError struct {
	Err error // the cause

	// Unsent says that not one octet of the request reached the network, or will.
	Unsent bool

	// Head says that the request was the one whose turn it was to be answered
	// when its peer ended the connection. Ends that this side has caused blame
	// nobody.
	Head bool

	// Answered is how many exchanges of the connection had been answered.
	Answered int64
}

func (e *CallError) Error() string { return e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

var (
	// ErrRetired is the error of calls that a connection no longer serves: the
	// peer has announced its end, or an answer before them was given up.
	ErrRetired = errors.New("pipeline: connection retired")

	// ErrStalled is the error of calls whose turn does not come, because the
	// content of a response before them is not read: after 50 ms for those that may
	// be sent again at any time or of which nothing was sent, and after 30 s without
	// an octet for all others.
	ErrStalled = errors.New("pipeline: a response before it is not being read")

	// ErrCanceled is the error of calls whose Cancel was closed.
	ErrCanceled = errors.New("net/http: request canceled")

	// ErrHeadTimeout is the error of calls with HeadTimeout.
	ErrHeadTimeout error = &headTimeout{}

	errBodyClosed = errors.New("http: read on closed response body")
)

type headTimeout struct{}

func (*headTimeout) Error() string   { return "net/http: timeout awaiting response headers" }
func (*headTimeout) Timeout() bool   { return true }
func (*headTimeout) Temporary() bool { return true }

func (*headTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

// prepare makes call ready to be submitted to d.
func (call *Call) prepare(d *Driver) error {
	call.d, call.exchange.call = d, call
	call.method, call.target = call.Request.Method, call.Request.Target
	framing := call.Request.Framing
	switch {
	case framing.Kind == wire.NoContent:
	case call.Content == nil && call.Body != nil:
		length := framing.Length
		if framing.Kind != wire.Length {
			length = -1
		}
		call.upload = newSource(&d.c, call.Body, length)
		if s, ok := call.upload.(*stream); ok {
			s.verify = length > 0
			call.verify = s.verify
		}
	case framing.Kind == wire.Length && framing.Length != int64(len(call.Content)):
		return &StateError{"Submit", "the content is not as long as was announced"}
	default:
		call.memory.p = call.Content
		call.upload = &call.memory
	}
	return nil
}

// isSmall reports whether the content is copied behind the head, so that both
// leave in one write.
func (call *Call) isSmall() bool {
	return call.upload == &call.memory && len(call.memory.p) <= coalesce
}

// takeBody returns the request's Body if it is still to be closed; d.c.mu is held.
func (call *Call) takeBody() io.Closer {
	if call.closed || call.Body == nil {
		return nil
	}
	call.closed = true
	return call.Body
}

// closeBody closes what takeBody returned.
func closeBody(body io.Closer) {
	if body != nil {
		body.Close()
	}
}

// hasNews reports whether Await has something to return before the final
// response; d.c.mu is held.
func (call *Call) hasNews() bool {
	return call.Interim && (len(call.interim) > 0 || call.sent && !call.Sent)
}

// takeNews takes what hasNews has reported: the end of sending before interim
// responses that did not wait for it. d.c.mu is held.
func (call *Call) takeNews() (interim []wire.ResponseHead) {
	if call.sent && !call.Sent && (call.ContinueTimeout == 0 || len(call.interim) == 0) {
		call.Sent = true
		return nil
	}
	interim = call.interim
	call.interim, call.heads = nil, 0
	return interim
}

// Gone reports, when Await has returned the final response, whether nothing of the
// call was left on the connection by then, so that the Driver knows it no more.
func (call *Call) Gone() bool { return call.gone }

// Settled reports whether Await has something final to return: the response has
// begun, or there will be none.
func (call *Call) Settled() bool { return call.settled.Load() }

// settle says that Await has something final to return. From then on the call is
// its caller's, who may have seen it already, and may use its memory for another.
func (call *Call) settle() {
	wake := call.Wake
	call.settled.Store(true)
	signal(wake)
}

// toldCalls are calls that have their final heads, and whose callers are still to be
// woken: all at once, when what has arrived is handed out. Those who are woken one by
// one send their next requests in as many writes.
type toldCalls struct{ first, last *Call }

func (t *toldCalls) add(call *Call) {
	if t.first == nil {
		t.first = call
	} else {
		t.last.next = call
	}
	t.last = call
}

// settle wakes them.
func (t *toldCalls) settle() {
	call := t.first
	*t = toldCalls{}
	for call != nil {
		next := call.next
		call.next = nil
		call.settle()
		call = next
	}
}

// wake signals the caller to look at the call.
func (call *Call) wake() { signal(call.Wake) }

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
