package httppipe

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/httppipe/httppipe/pipeline"
)

// A roundTrip is the state of one call of RoundTrip.
type roundTrip struct {
	t     *Transport
	ctx   context.Context
	out   outgoing
	route route
	first exchange // the first attempt; most need no other

	answered *exchange // the attempt whose response is there in full, and that is off its connection
	tries    int       // attempts that failed without their connection answering anything
	sent     bool      // an attempt that failed may have been acted on
}

// An exchange is one attempt to send a request and to get its response.
type exchange struct {
	out   *outgoing
	route *route
	solo  bool // must be alone on its connection
	fresh bool // must be the first on it

	// Guarded by place.mu, until it has a connection.
	conn           *conn
	alt            altConn       // in place of conn
	err            error         // in place of both
	waiting        bool          // in a queue of the place
	bound          bool          // is about to be submitted by another
	dials          bool          // a dial was begun for it
	since          instant       // in the queue
	arrived        instant       // when the first attempt asked for a connection
	gap            time.Duration // since another one had asked for a place on a connection
	pause          time.Duration // that it may wait for a partner: see awaitsPartner
	hopeful        instant       // since when it does, although there is a connection for it
	assigned       instant       // to conn
	second         *exchange     // has to be submitted together with this one
	late           bool          // was known to be late before it was answered
	rescued        bool          // was told to go elsewhere
	silent         bool          // got no answer among others, and goes alone next
	accuses        bool          // goes alone because the attempt before was silent
	joined         bool          // others were in flight when it got its connection
	crowded        bool          // it would have gone elsewhere if packed had been another
	followed       bool          // another got the place behind it
	inPipe         atomic.Bool   // was submitted
	canceled       atomic.Bool   // by CancelRequest
	before, behind *exchange     // in the queue

	reused, wasIdle bool // for the trace
	idleTime        time.Duration

	submitted bool // second only: by the first
	submitErr error
	toldWrote bool // the trace knows that the request is sent
	told100   bool // and that its content may be sent

	call pipeline.Call
}

// shares reports whether others may be in flight on x's connection.
func (x *exchange) shares() bool { return x.out.shareable && !x.solo }

// RoundTrip sends a request and returns its response, as [http.RoundTripper]
// asks. It is safe for concurrent use; concurrent requests that have no effect
// on the origin share connections.
//
// A request whose connection ends without an answer is sent again by the rules
// of RFC 9110, Section 9.2.2, and RFC 9112, Section 9.3: if none of it was sent,
// or if it is safe or has an Idempotency-Key, and its body can be had again.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	given, rt := req, t.newRoundTrip(req)
	if err := rt.out.validate(req); err != nil {
		closeBody(req)
		return nil, err
	}
	if registered := t.alternateRoundTripper(req); registered != nil {
		resp, again, err := tryRegistered(registered, req)
		if again == nil {
			return resp, err
		}
		req = again
	}
	if err := validateHTTP(req); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := rt.run(req)
	if rt.out.trace != nil {
		rt.out.gate.shut()
	}
	if err != nil {
		awaitClientTimeout(rt.ctx, cancelOf(given))
		rt.closeBody(req)
		return nil, err
	}
	rt.out.body.keep()
	rt.recycle()
	resp.Request = given
	return resp, nil
}

func (t *Transport) newRoundTrip(req *http.Request) *roundTrip {
	rt, ok := t.spare.Get().(*roundTrip)
	if !ok {
		rt = new(roundTrip)
	}
	rt.t, rt.ctx = t, req.Context()
	rt.out.trace = httptrace.ContextClientTrace(rt.ctx)
	return rt
}

// recycle has another call use rt's memory, if nobody knows of rt any more: which
// is so for nearly all requests that need no second attempt and whose response is
// complete.
//
// Such an exchange has left its connection, and with that the lines and queues of
// its place: which it has not if the response was there before the last of the
// request was sent. Those who look at it without place.mu afterwards have said
// so before, with place.mu held: who dials for it, rescues or cancels it.
func (rt *roundTrip) recycle() {
	x := &rt.first
	if rt.answered != x || rt.out.body != nil || rt.out.trace != nil {
		return
	}
	if x.dials || x.rescued || x.canceled.Load() {
		return
	}
	t, wake := rt.t, x.call.Wake
	*rt = roundTrip{}
	rt.first.call.Wake = wake // a signal may be in it: those come late, and without need
	t.spare.Put(rt)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// closeBody closes the body of a request that has failed for good.
func (rt *roundTrip) closeBody(req *http.Request) {
	if rt.out.body != nil {
		rt.out.body.finish()
	} else if !rt.out.loaded && !rt.out.handedOver {
		if rt.out.req != nil {
			req = rt.out.req // its body may have been had again
		}
		closeBody(req)
	}
}

// run makes attempts until one succeeds or must not be followed by another.
func (rt *roundTrip) run(req *http.Request) (resp *http.Response, err error) {
	if err := canceled(rt.ctx, cancelOf(req)); err != nil {
		return nil, err
	}
	if rt.route, err = rt.t.routeFor(req); err != nil {
		return nil, err
	}
	if err := rt.out.prepare(rt.t, req, &rt.route); err != nil {
		return nil, err
	}
	key := rt.route.key()
	x := &rt.first
	for {
		x.out, x.route = &rt.out, &rt.route
		if rt.out.trace != nil && rt.out.trace.GetConn != nil {
			rt.out.trace.GetConn(rt.route.addr)
		}
		if x.alt = rt.t.alts.get(key); x.alt == nil {
			if err := rt.reserve(key, x); err != nil {
				return nil, err
			}
		}
		if x.alt != nil {
			resp, err, again := rt.runAlt(x.alt)
			if !again {
				return resp, err
			}
			x = &exchange{fresh: x.fresh, solo: x.solo}
			continue
		}
		rt.traceGotConn(x)
		resp, err := rt.do(x)
		if err == nil {
			return resp, nil
		}
		if x, err = rt.again(x, err); err != nil {
			return nil, err
		}
	}
}

func (rt *roundTrip) reserve(key routeKey, x *exchange) error {
	if x.call.Wake == nil {
		x.call.Wake = make(chan struct{}, 1)
	}
	x.call.Cancel = cancelOf(rt.out.req)
	return rt.t.place(key).reserve(rt.ctx, x)
}

// sleep waits to be woken; an error says why x should wait no longer.
func (x *exchange) sleep(ctx context.Context) error {
	select {
	case <-x.call.Wake:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-x.call.Cancel:
		return errCanceledWaiting
	}
}

// do sends the request on x.conn and returns the response, when its head is there.
func (rt *roundTrip) do(x *exchange) (*http.Response, error) {
	c := x.conn
	if !x.submitted {
		if err := rt.out.load(); err != nil {
			rt.giveBack(x)
			return nil, err
		}
		x.fill(rt.t, rt.out.trace != nil)
		if rt.out.trace != nil && c.place != nil && rt.ctx.Err() == nil {
			c.place.pairLate(x)
		}
		x.call.More = x.second != nil
		x.call.Prompt = rt.out.body == nil && rt.out.trace == nil
		x.submitErr = c.d.Submit(&x.call)
		if x.submitErr != nil {
			c.place.release(x)
		} else {
			x.inPipe.Store(true)
		}
		rt.submitSecond(x)
	}
	if x.submitErr != nil {
		return nil, x.submitErr
	}
	if x.call.Body == nil && rt.out.body != nil {
		rt.out.body.Close() // all of it has been copied
	}
	if x.canceled.Load() {
		x.cancel()
	}
	if err := rt.await(x); err != nil {
		return nil, err
	}
	if rt.out.replayable && x.misplaced() {
		x.call.Close()
		return nil, errMisplaced
	}
	return x.response(rt)
}

// giveBack returns the places on a connection that x, and who was to be submitted
// with it, will not use.
func (rt *roundTrip) giveBack(x *exchange) {
	x.conn.place.release(x)
	rt.submitSecond(x)
}

// submitSecond submits the other one of a pair.
func (rt *roundTrip) submitSecond(x *exchange) {
	second := x.second
	if second == nil {
		return
	}
	c := x.conn
	err := second.out.load() // it has no content
	if err == nil {
		second.fill(rt.t, second.out.trace != nil)
		err = c.d.Submit(&second.call)
	}
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	second.submitted, second.submitErr, second.bound = true, err, false
	if err != nil {
		p.leave(c, slices.Index(c.line, second), clock())
	} else {
		second.inPipe.Store(true)
	}
	second.settle()
}

// smallContent is the most content that is copied when it is submitted, so that
// the body can be closed.
const smallContent = 64 << 10

// fill prepares x.call.
func (x *exchange) fill(t *Transport, traced bool) {
	call, out := &x.call, x.out
	call.Request = out.head
	call.HeadTimeout = t.ResponseHeaderTimeout
	call.Interim = traced
	call.Repeat = out.repeat()
	call.Content = out.content
	if out.expect {
		call.ContinueTimeout = t.ExpectContinueTimeout
	}
	if out.body != nil && (out.content == nil || len(out.content) > smallContent || call.ContinueTimeout > 0) {
		call.Body = out.body
	}
}

// await waits for the final response, and tells the trace what happens until then.
func (rt *roundTrip) await(x *exchange) error {
	rt.traceWrote(x)
	first := true
	for {
		interim, err := x.conn.d.Await(rt.ctx, &x.call)
		if err != nil {
			rt.traceWroteRequest(x, rt.exchangeError(err))
			return err
		}
		if x.call.Sent {
			rt.traceWroteRequest(x, nil)
		}
		if first && (x.call.Final || len(interim) > 0) {
			first = false
			rt.traceFirstByte()
		}
		if x.call.Final {
			return nil
		}
		for _, head := range interim {
			if err := rt.traceInterim(x, head); err != nil {
				x.conn.d.Abandon(&x.call, err)
				return rt.broken(err)
			}
		}
	}
}

// tryRegistered has a RoundTripper of RegisterProtocol answer req. If it leaves
// that to the Transport, again is the request to send.
func tryRegistered(rt http.RoundTripper, req *http.Request) (resp *http.Response, again *http.Request, err error) {
	if req.Body == nil || req.Body == http.NoBody {
		resp, err = rt.RoundTrip(req)
		if errors.Is(err, http.ErrSkipAltProtocol) {
			return nil, req, nil
		}
		return resp, nil, err
	}
	body := newRequestBody(req.Body, -1)
	tracked := *req
	tracked.Body = body
	resp, err = rt.RoundTrip(&tracked)
	if !errors.Is(err, http.ErrSkipAltProtocol) {
		body.keep()
		return resp, nil, err
	}
	rewound, ok, err := body.rewound(req)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		return nil, nil, errCannotRewind
	case rewound == body:
		return nil, req, nil
	}
	fresh := *req
	fresh.Body = rewound.rc
	return nil, &fresh, nil
}

var errCannotRewind = errors.New("net/http: cannot rewind body after connection loss")

// runAlt has a connection of another protocol answer the request. again says that
// it did not, and that another attempt may follow.
func (rt *roundTrip) runAlt(alt altConn) (resp *http.Response, err error, again bool) {
	rt.out.handedOver = true
	resp, err = alt.RoundTrip(rt.out.req)
	if err == nil {
		return resp, nil, false
	}
	var unprocessed *unprocessedError
	counts := errors.As(err, &unprocessed) && !unprocessed.untouched
	next, err := nextAltAttempt(rt.out.req, err, rt.tries)
	if err != nil {
		return nil, err, false
	}
	if counts {
		rt.tries++
	}
	rt.out.req, rt.out.handedOver = next, false
	return nil, nil, true
}
