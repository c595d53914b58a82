package httppipe

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An altConn is a connection, or what stands for some, that speaks another
// protocol than HTTP/1.1. Many requests may use it at once. It is safe for
// concurrent use, and its methods may be called with the pool's lock held,
// except RoundTrip and closeIdle.
type altConn interface {
	// RoundTrip calls the GotConn hook of the request's trace, not GetConn.
	// An error that holds an [unprocessedError] leaves the choice to send the
	// request again; see nextAltAttempt.
	http.RoundTripper

	// usable reports whether a request sent now would not be refused. It may
	// be false for a while, when the peer's limit on streams is reached.
	usable() bool

	// room is about how many requests sent now would not be refused.
	room() int

	// ended reports whether the connection is closed, or never usable again.
	ended() bool

	// watch makes f be called whenever usable or ended may have changed. f
	// replaces any earlier one. It runs on any goroutine, without a lock of
	// ours, must not block, and must not call RoundTrip or closeIdle.
	watch(f func())

	// closeIdle closes the connection if no request is using it, and otherwise
	// once none is, unless another request begins before that.
	closeIdle()
}

// An unprocessedError says that the peer has not acted on a request, and never
// will: it is safe to send it again, if its content can be had again.
type unprocessedError struct {
	err       error
	untouched bool // the body was neither read nor closed
}

func (e *unprocessedError) Error() string { return e.err.Error() }
func (e *unprocessedError) Unwrap() error { return e.err }

var errAltBusy = errors.New("httppipe: HTTP/2 connection takes no request at the moment")

// maxAltAttempts is how many times a request that was refused is sent again.
// With the pauses between them that takes about 31 s; net/http does the same.
const maxAltAttempts = 6

// nextAltAttempt decides what follows when altConn.RoundTrip has failed with
// err for the attempt'th time, the first being 0. It returns the request to try
// next, on any connection: req itself, or a copy with its content rewound; or
// the error for the caller, after having closed the body.
//
// Failures to get hold of a connection at all (untouched) should not be counted
// as attempts. Before a second repetition it waits, for as long as the request's
// context lasts, because the peer is probably overloaded.
func nextAltAttempt(req *http.Request, err error, attempt int) (*http.Request, error) {
	var unprocessed *unprocessedError
	if !errors.As(err, &unprocessed) {
		return nil, err // the RoundTripper has closed the body
	}
	if unprocessed.untouched {
		return req, nil
	}
	if attempt >= maxAltAttempts {
		return nil, unprocessed.err
	}
	again, err := rewound(req, unprocessed.err)
	if err != nil || attempt == 0 {
		return again, err
	}
	pause := time.Second << (attempt - 1)
	pause += rand.N(pause / 10) // so that many callers do not come back at once
	select {
	case <-time.After(pause):
		return again, nil
	case <-req.Context().Done():
		if again.Body != nil {
			again.Body.Close()
		}
		return nil, req.Context().Err()
	}
}

// rewound returns req with its content at the start again. Its body was closed
// when it failed because of cause.
func rewound(req *http.Request, cause error) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, fmt.Errorf("httppipe: cannot send again after %w: the body was used, and Request.GetBody is nil", cause)
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}

// An h2Conn is one HTTP/2 connection.
type h2Conn struct {
	cc     *http.ClientConn
	conn   net.Conn // for traces
	strict bool     // requests wait when the limit on streams is reached
	single bool     // for one request only

	onChange  atomic.Pointer[func()]
	idleSince atomic.Int64 // Unix nanoseconds; when the last request ended

	mu      sync.Mutex
	calls   int  // RoundTrips that have not returned
	used    bool // there was a first request
	retired bool // takes no more requests
	leaving bool // closeIdle was called, and no request has begun since
}

func (c *h2Conn) usable() bool {
	c.mu.Lock()
	spent := c.retired || c.single && c.used
	c.mu.Unlock()
	return !spent && c.cc.Err() == nil && (c.strict || c.cc.Available() > 0)
}

func (c *h2Conn) room() int {
	switch {
	case !c.usable():
		return 0
	case c.single:
		return 1
	case c.strict:
		return math.MaxInt
	}
	return c.cc.Available()
}

func (c *h2Conn) ended() bool {
	return c.cc.Err() != nil
}

func (c *h2Conn) watch(f func()) {
	c.onChange.Store(&f)
}

// stateChanged is called by the http.ClientConn.
func (c *h2Conn) stateChanged() {
	c.idleSince.Store(time.Now().UnixNano())
	c.closeIfLeaving()
	if f := c.onChange.Load(); f != nil {
		(*f)()
	}
}

func (c *h2Conn) closeIdle() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.closeIfLeaving()
}

// closeIfLeaving does what closeIdle left to do. A stream may outlast the end of
// its content by a moment, and a caller of CloseIdleConnections should not have
// to know.
func (c *h2Conn) closeIfLeaving() {
	c.mu.Lock()
	now := c.leaving && c.calls == 0 && c.cc.InFlight() == 0 && c.cc.Err() == nil
	if now {
		c.retired = true // before another call can begin
	}
	c.mu.Unlock()
	if now {
		c.cc.Close()
	}
}

func (c *h2Conn) RoundTrip(req *http.Request) (*http.Response, error) {
	info, err := c.begin()
	if err != nil {
		return nil, &unprocessedError{err: err, untouched: true}
	}
	defer c.done()
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(info)
	}
	resp, err := c.cc.RoundTrip(req)
	if err != nil {
		return nil, c.classify(err)
	}
	return resp, nil
}

// begin reserves a stream for one call.
func (c *h2Conn) begin() (httptrace.GotConnInfo, error) {
	info := httptrace.GotConnInfo{Conn: c.conn}
	c.mu.Lock()
	if c.retired || c.single && c.used {
		c.mu.Unlock()
		return info, errAltBusy
	}
	info.Reused, c.used, c.leaving = c.used, true, false
	c.calls++
	c.mu.Unlock()

	if info.Reused && c.cc.InFlight() == 0 {
		info.WasIdle = true
		info.IdleTime = time.Since(time.Unix(0, c.idleSince.Load()))
	}
	// The first request is sent even if the connection has ended, because
	// somebody has to get the error that it ended with: dialing again and
	// again would hide it for ever. A strict limit is waited for.
	err := c.cc.Reserve()
	if err == nil || !info.Reused || c.strict && c.cc.Err() == nil {
		return info, nil
	}
	c.done()
	return info, errAltBusy
}

func (c *h2Conn) done() {
	c.mu.Lock()
	c.calls--
	c.mu.Unlock()
	c.closeIfLeaving()
}

// Texts of errors that net/http has no exported values for. A test makes net/http
// produce them; if they ever change, a request is reported as failed that could
// have been sent again.
const (
	h2ErrUnusable = "http2: client conn not usable"
	h2ErrGoAway   = "http2: Transport received Server's graceful shutdown GOAWAY"
	h2ErrFromPeer = "received from peer"
)

// An h2StreamError is net/http's error for a stream that was reset. It converts
// itself to any struct with these fields (see errors.As).
type h2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (h2StreamError) Error() string { return "httppipe: HTTP/2 stream error" }

// Error codes of RFC 9113, Section 7.
const (
	h2ProtocolError = 0x1
	h2RefusedStream = 0x7
)

// classify turns an error of the http.ClientConn into an unprocessedError if the
// peer has told us that it did not act on the request (RFC 9113, Section 8.7).
func (c *h2Conn) classify(err error) error {
	var reset h2StreamError
	switch {
	case err.Error() == h2ErrUnusable, err.Error() == h2ErrGoAway:
		c.mu.Lock()
		c.retired = true
		c.mu.Unlock()
	case errors.As(err, &reset) && (reset.Code == h2RefusedStream || reset.fromConfusedPeer()):
	default:
		return err
	}
	return &unprocessedError{err: err}
}

// fromConfusedPeer reports a reset with PROTOCOL_ERROR, by which some servers
// answer a request that crosses their GOAWAY (golang.org/issue/42777).
func (e h2StreamError) fromConfusedPeer() bool {
	return e.Code == h2ProtocolError && e.Cause != nil && e.Cause.Error() == h2ErrFromPeer
}

// A protoConn is a RoundTripper that an entry of TLSNextProto returned. What
// connections it has is its own business.
type protoConn struct {
	rt       http.RoundTripper
	forget   func(*protoConn) // takes it out of the table
	onChange atomic.Pointer[func()]
	over     atomic.Bool
}

func (c *protoConn) usable() bool   { return !c.over.Load() }
func (c *protoConn) ended() bool    { return c.over.Load() }
func (c *protoConn) room() int      { return math.MaxInt }
func (c *protoConn) watch(f func()) { c.onChange.Store(&f) }

func (c *protoConn) closeIdle() {
	if closer, ok := c.rt.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// RoundTrip passes req on. An implementation made for net/http says by a method
// on its error that it has no connection left; then it wants to be given another.
func (c *protoConn) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.rt.RoundTrip(req)
	if _, none := err.(interface{ IsHTTP2NoCachedConnError() }); none {
		c.over.Store(true)
		c.forget(c)
		if f := c.onChange.Load(); f != nil {
			(*f)()
		}
		return nil, &unprocessedError{err: err, untouched: true}
	}
	return resp, err
}

// An altTable holds the connections of other protocols by what they lead to. The
// zero value is empty.
type altTable struct {
	some atomic.Bool // there are conns: who has only HTTP/1.1 takes no lock

	mu    sync.Mutex // guards following
	conns map[routeKey][]altConn
}

// get returns a usable connection, or nil.
func (a *altTable) get(key routeKey) altConn {
	if !a.some.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.getLocked(key)
}

func (a *altTable) getLocked(key routeKey) altConn {
	for _, c := range a.conns[key] {
		if c.usable() {
			return c
		}
	}
	return nil
}

// addIfNone adds c unless there is a usable connection, and returns the one that
// there is now.
func (a *altTable) addIfNone(key routeKey, c altConn) altConn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if other := a.getLocked(key); other != nil {
		return other
	}
	// One that ended before it was here would never be removed.
	if !c.ended() {
		a.putLocked(key, append(a.conns[key], c))
	}
	return c
}

// add adds c beside whatever there is.
func (a *altTable) add(key routeKey, c altConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putLocked(key, append(a.conns[key], c))
}

// remove forgets c, which has ended.
func (a *altTable) remove(key routeKey, c altConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := slices.DeleteFunc(a.conns[key], func(other altConn) bool { return other == c })
	a.putLocked(key, rest)
}

func (a *altTable) putLocked(key routeKey, conns []altConn) {
	if a.conns == nil {
		a.conns = make(map[routeKey][]altConn)
	}
	if len(conns) > 0 {
		a.conns[key] = conns
	} else {
		delete(a.conns, key)
	}
	a.some.Store(len(a.conns) > 0)
}

// closeIdle closes the connections that carry no request.
func (a *altTable) closeIdle() {
	a.mu.Lock()
	var all []altConn
	for _, conns := range a.conns {
		all = append(all, conns...)
	}
	a.mu.Unlock()
	for _, c := range all {
		c.closeIdle() // and, by its state hook, takes itself out
	}
}
