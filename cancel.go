package httppipe

import (
	"net/http"

	"github.com/httppipe/httppipe/pipeline"
)

// CancelRequest looks for the request among all there are: it is deprecated, and
// so nobody else should pay for it.

// cancelOf returns req.Cancel, which http.Client uses for its Timeout.
func cancelOf(req *http.Request) <-chan struct{} {
	//lint:ignore SA1019 programs still use it
	return req.Cancel
}

// cancelRequest ends the attempts in flight for req.
func (pl *pool) cancelRequest(req *http.Request) {
	for _, p := range pl.all() {
		for _, x := range p.cancelWaiting(req) {
			x.cancel()
		}
	}
}

// cancelWaiting ends the attempts for req that wait for a connection, and returns
// those that have one, marked as canceled: see roundTrip.recycle.
func (p *place) cancelWaiting(req *http.Request) (rest []*exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range []*exchangeQueue{&p.alone, &p.shared} {
		for x := q.first; x != nil; {
			next := x.behind
			if x.out.req == req {
				p.forget(x)
				x.err = errCanceledWaiting
				x.settle()
			}
			x = next
		}
	}
	for _, c := range p.conns.carrying() {
		for _, x := range c.line {
			if x.out.req == req {
				x.canceled.Store(true)
				rest = append(rest, x)
			}
		}
	}
	p.bar()
	return rest
}

// cancel ends an attempt that has a connection. If it is still to be submitted,
// whoever does that finds it canceled.
func (x *exchange) cancel() {
	x.canceled.Store(true)
	if x.inPipe.Load() {
		x.conn.d.Abandon(&x.call, pipeline.ErrCanceled)
	}
}
