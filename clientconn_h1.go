package httppipe

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/httppipe/httppipe/pipeline"
)

// An h1ClientConn is an HTTP/1.1 connection outside of any pool. It carries one
// request at a time.
type h1ClientConn struct {
	t     *Transport
	route route
	conn  *conn         // its place is nil
	free  chan struct{} // holds a value when the connection is neither reserved nor busy
	over  chan struct{} // closed when the connection has ended

	mu       sync.Mutex // guards following; not held while code of the user runs
	reserved bool
	busy     bool
	err      error // why the connection has ended
	hook     stateHook
	look     *time.Timer // looks whether the peer has closed the connection
}

var (
	errClientConnClosed = errors.New("ClientConn closed")
	errClientConnBusy   = errors.New("connection is unavailable")
)

// RoundTrip implements http.RoundTripper.
func (c *h1ClientConn) RoundTrip(req *http.Request) (*http.Response, error) {
	rt := &roundTrip{t: c.t, ctx: req.Context(), route: c.route}
	rt.out.trace = httptrace.ContextClientTrace(rt.ctx)
	resp, err := c.roundTrip(rt, req)
	if err != nil {
		rt.closeBody(req)
		return nil, err
	}
	rt.out.body.keep()
	resp.Request = req
	return resp, nil
}

func (c *h1ClientConn) roundTrip(rt *roundTrip, req *http.Request) (*http.Response, error) {
	if err := rt.out.prepare(c.t, req, &rt.route); err != nil {
		c.Release()
		return nil, err
	}
	x := &rt.first
	x.out, x.route, x.conn = &rt.out, &rt.route, c.conn
	x.call.Cancel = cancelOf(req)
	x.call.Wake = make(chan struct{}, 1)
	if err := c.begin(rt.ctx, cancelOf(req)); err != nil {
		return nil, err
	}
	resp, err := rt.do(x)
	if err == nil {
		return resp, nil
	}
	if !rt.out.loaded || x.submitErr != nil {
		c.endRequest() // the Driver has not heard of it
	}
	return nil, rt.exchangeError(err)
}

// begin waits until the connection is free, unless it was reserved.
func (c *h1ClientConn) begin(ctx context.Context, cancel <-chan struct{}) error {
	c.mu.Lock()
	if c.reserved {
		c.reserved, c.busy = false, true
		c.mu.Unlock()
		return canceledThen(c.endRequest, ctx, cancel)
	}
	c.mu.Unlock()
	select {
	case <-c.free:
	case <-c.over:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-cancel:
		return pipeline.ErrCanceled
	}
	c.mu.Lock()
	c.busy = true
	c.mu.Unlock()
	return canceledThen(c.endRequest, ctx, cancel)
}

// canceledThen calls undo if the request has been canceled, and says why.
func canceledThen(undo func(), ctx context.Context, cancel <-chan struct{}) error {
	err := canceled(ctx, cancel)
	if err != nil {
		undo()
	}
	return err
}

// left is the Driver's hook: a request is no longer on the connection.
func (c *h1ClientConn) left(*pipeline.Call) { c.endRequest() }

// endRequest makes room for the next request.
func (c *h1ClientConn) endRequest() {
	c.update(func() {
		// A connection that has lost its last request without a next being
		// possible is about to end: nobody may have it.
		if c.busy && c.conn.d.Usable() {
			c.free <- struct{}{}
		}
		c.busy = false
	})
}

// ended is the Driver's other hook.
func (c *h1ClientConn) ended(err error) {
	c.update(func() {
		if c.err == nil {
			c.err = cause(err)
		}
		c.reserved = false
		if c.look != nil {
			c.look.Stop()
		}
		close(c.over)
	})
}

// Close implements clientConn.
func (c *h1ClientConn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = errClientConnClosed
	}
	c.mu.Unlock()
	c.conn.d.Close()
	return nil
}

// Err implements clientConn.
func (c *h1ClientConn) Err() error {
	c.conn.d.Check()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Reserve implements clientConn.
func (c *h1ClientConn) Reserve() error {
	if err := c.Err(); err != nil {
		return err
	}
	select {
	case <-c.free:
	default:
		return errClientConnBusy
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved = true
	c.hook.note(c.counts())
	return nil
}

// Release implements clientConn.
func (c *h1ClientConn) Release() {
	c.update(func() {
		if c.reserved {
			c.reserved = false
			c.free <- struct{}{}
		}
	})
}

// Available implements clientConn.
func (c *h1ClientConn) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts().available
}

// InFlight implements clientConn.
func (c *h1ClientConn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts().inFlight
}

// counts says what the hook wants to know; c.mu is held.
func (c *h1ClientConn) counts() connCounts {
	switch {
	case c.err != nil:
		return connCounts{ended: true}
	case c.reserved, c.busy:
		return connCounts{inFlight: 1}
	}
	return connCounts{available: len(c.free)}
}

// update changes the state, and tells the hook.
func (c *h1ClientConn) update(change func()) {
	c.mu.Lock()
	change()
	c.tell()
}

// tell tells the hook of the present state; it unlocks c.mu.
func (c *h1ClientConn) tell() {
	f := c.hook.begin(c.counts())
	c.mu.Unlock()
	if f == nil {
		return
	}
	f()
	c.mu.Lock()
	c.hook.end()
	again := c.hook.begin(c.counts())
	c.mu.Unlock()
	if again != nil {
		go c.tellOn(again) // who called the first time must not be kept for ever
	}
}

func (c *h1ClientConn) tellOn(f func()) {
	for f != nil {
		f()
		c.mu.Lock()
		c.hook.end()
		f = c.hook.begin(c.counts())
		c.mu.Unlock()
	}
}

// setStateHook sets the hook, which is called if the state has changed since the
// connection was made.
func (c *h1ClientConn) setStateHook(f func()) {
	c.mu.Lock()
	c.hook.f = f
	if f != nil && c.look == nil && c.err == nil {
		c.look = time.AfterFunc(janitorPeriod, c.lookOn)
	}
	c.tell()
}

// lookOn looks whether the peer has closed the connection, as long as there is a
// hook to tell.
func (c *h1ClientConn) lookOn() {
	c.conn.d.Check()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.hook.f != nil {
		c.look.Reset(janitorPeriod)
	} else {
		c.look = nil
	}
}

// connCounts is what a state hook is called about.
type connCounts struct {
	available, inFlight int
	ended               bool
}

// A stateHook decides when the user's hook is called. The zero value is one for a
// connection of which nothing is known.
type stateHook struct {
	f       func()
	running bool
	last    connCounts
}

// note takes note of counts of which the hook is not told.
func (h *stateHook) note(now connCounts) { h.last = now }

// begin returns the hook if it has to be called about now. Then end follows.
func (h *stateHook) begin(now connCounts) func() {
	if h.f == nil || h.running {
		return nil
	}
	better := now.available > h.last.available || now.inFlight < h.last.inFlight || now.ended != h.last.ended
	h.last = now
	if !better {
		return nil
	}
	h.running = true
	return h.f
}

func (h *stateHook) end() { h.running = false }
