package httppipe

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// A Pipelining says how one request may share an HTTP/1.1 connection with others.
// It is chosen by [WithPipelining] or [Transport.Classify].
//
// No choice makes a request less replayable than it is in net/http: one that is
// safe, or has an Idempotency-Key, and whose body can be had again, is sent again
// when its connection ends without an answer, and no other is. The exceptions are
// PUT and DELETE, which are idempotent: those that may be pipelined may also be
// sent again, once the old connection is dead, and not before.
type Pipelining uint8

const (
	// ByMethod is the zero value, and no choice: GET, HEAD, OPTIONS and TRACE
	// without content are sent as with Pipeline, and all others as with Never,
	// but see [Transport.PipelineUploads].
	ByMethod Pipelining = iota

	// Pipeline lets a request share a connection whatever its method, and though
	// it has content: it may be sent behind others that are not answered, and
	// others behind it. It is a promise about the origin, as
	// [Transport.PipelineUploads] is.
	//
	// A connection may end because of a request before this one. So a request
	// that is not replayable fails more often than it would by itself.
	//
	// A response before this one may be read slowly, or not at all. A request that
	// is safe is sent elsewhere then; any other has to wait for its turn. What is in
	// its way is moved into memory, of which all responses of a Transport share
	// 16 MiB. If that does not suffice, the request waits as long as the response
	// before it gets on, be it without end, and fails when it has not for 30 s. To
	// a caller who holds a response while waiting for this request that cannot
	// happen if the head of that response had come: then it is sent elsewhere.
	//
	// Requests of which that makes no sense are sent as with Alone all the same:
	// those that say Connection, Upgrade, or Expect, that authenticate their
	// connection (NTLM, Negotiate) or end it (Request.Close), and those whose
	// content can be had only once (no GetBody), or may turn out to be none.
	Pipeline

	// Never keeps a request out of any pipeline: it is sent when nothing before
	// it is unanswered, and nothing is sent behind it until its final response
	// has begun and its content is sent in full (RFC 9112, Section 9.3.2). It is
	// for requests with an effect in spite of their method.
	Never

	// Alone is Never, and nothing is sent behind the request until its response
	// has ended, as with net/http. It is for responses that others should not
	// wait for: event streams, long polls, large files.
	Alone
)

// String returns the name of the constant, or Pipelining(n) for any other value.
func (p Pipelining) String() string {
	switch p {
	case ByMethod:
		return "ByMethod"
	case Pipeline:
		return "Pipeline"
	case Never:
		return "Never"
	case Alone:
		return "Alone"
	}
	return fmt.Sprintf("Pipelining(%d)", uint8(p))
}

// pipeliningKey is the key of a Pipelining in a context.
type pipeliningKey struct{}

// WithPipelining returns a context that chooses how the requests made with it
// share connections. The choice comes before that of [Transport.Classify]; with
// ByMethod a choice of a parent context is undone, and Classify is asked again.
// It has no meaning where HTTP/2 is spoken, and none for other transports.
func WithPipelining(parent context.Context, choice Pipelining) context.Context {
	return context.WithValue(parent, pipeliningKey{}, choice)
}

// pipelining is what the user has chosen for req.
func (t *Transport) pipelining(req *http.Request) Pipelining {
	if choice, _ := req.Context().Value(pipeliningKey{}).(Pipelining); choice != ByMethod {
		return choice
	}
	if t.Classify != nil {
		return t.Classify(req)
	}
	return ByMethod
}

// classify answers, once for all attempts, whether the request may share its
// connection, be sent again after that ended, and be sent again before.
func (o *outgoing) classify(t *Transport) {
	req, m := o.req, o.head.Method
	choice := t.pipelining(req)
	length := outgoingLength(req)
	rewindable := length == 0 || req.GetBody != nil
	o.expect = length != 0 && o.expectsContinue()
	o.replayable = rewindable && (isSafe(m) || o.hasIdempotencyKey())
	o.rescuable = isSafe(m) && length == 0
	binds := o.head.Close || o.bindsConnection()
	o.alone = choice == Alone || binds
	if binds || o.expect || t.depth() == 1 || choice == Never || choice == Alone {
		return
	}
	probed := length < 0 && usuallyLacksContent(m) // takes time, see load
	o.vouched = !o.rescuable && rewindable && !probed &&
		(choice == Pipeline || t.PipelineUploads && isIdempotent(m))
	o.shareable = o.rescuable || o.vouched
	o.replayable = o.replayable || o.vouched && isIdempotent(m)
}

// opens reports whether requests may follow x, which has been exclusive, from when
// its final response has begun: if all of it was handed over to the connection,
// and if the end of its response is in sight.
func (x *exchange) opens() bool {
	complete := x.call.Complete()
	return !x.shares() && !x.out.alone && !complete &&
		x.call.Body == nil && x.call.Framing.Kind == wire.Length
}

// repeat tells the Driver when the request may be sent again.
func (o *outgoing) repeat() pipeline.Repeat {
	switch {
	case o.rescuable:
		return pipeline.RepeatAnytime
	case o.replayable:
		return pipeline.RepeatAfter
	}
	return pipeline.RepeatNever
}

// isSafe reports whether a method is safe (RFC 9110, Section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// isIdempotent reports whether a method is idempotent (RFC 9110, Section 9.2.2).
func isIdempotent(method string) bool {
	return isSafe(method) || method == http.MethodPut || method == http.MethodDelete
}

// hasIdempotencyKey reports whether the user vouches that a request may be sent
// twice. An empty list says so without sending the field, as in net/http.
func (o *outgoing) hasIdempotencyKey() bool {
	_, key := o.lookup("Idempotency-Key")
	_, xkey := o.lookup("X-Idempotency-Key")
	return key || xkey
}

// bindsConnection reports whether a request changes what its connection is, or
// what the requests behind it mean: upgrades, other connection options, and
// authentication of the connection rather than the request.
func (o *outgoing) bindsConnection() bool {
	if len(o.values("Connection")) > 0 || len(o.values("Upgrade")) > 0 || len(o.values("Expect")) > 0 {
		return true
	}
	for _, name := range [...]string{"Authorization", "Proxy-Authorization"} {
		for _, v := range o.values(name) {
			scheme, _, _ := strings.Cut(v, " ")
			if strings.EqualFold(scheme, "NTLM") || strings.EqualFold(scheme, "Negotiate") {
				return true
			}
		}
	}
	return false
}
