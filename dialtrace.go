package httppipe

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
)

// A traceGate lets the hooks of a request's trace be called by the dial that was
// begun for it, and by nobody after RoundTrip has returned: the dial may go on for
// somebody else. The zero value is open.
type traceGate struct {
	mu   sync.Mutex // held while a hook runs, so that shut can wait for it
	over bool
}

// shut ends all hooks.
func (g *traceGate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// run calls a hook, unless the gate is shut.
func (g *traceGate) run(hook func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		hook()
	}
}

// trace returns the hooks of t that dialing calls, behind the gate.
func (g *traceGate) trace(t *httptrace.ClientTrace) *httptrace.ClientTrace {
	gated := new(httptrace.ClientTrace)
	if f := t.DNSStart; f != nil {
		gated.DNSStart = func(info httptrace.DNSStartInfo) { g.run(func() { f(info) }) }
	}
	if f := t.DNSDone; f != nil {
		gated.DNSDone = func(info httptrace.DNSDoneInfo) { g.run(func() { f(info) }) }
	}
	if f := t.ConnectStart; f != nil {
		gated.ConnectStart = func(network, addr string) { g.run(func() { f(network, addr) }) }
	}
	if f := t.ConnectDone; f != nil {
		gated.ConnectDone = func(network, addr string, err error) { g.run(func() { f(network, addr, err) }) }
	}
	if f := t.TLSHandshakeStart; f != nil {
		gated.TLSHandshakeStart = func() { g.run(f) }
	}
	if f := t.TLSHandshakeDone; f != nil {
		gated.TLSHandshakeDone = func(s tls.ConnectionState, err error) { g.run(func() { f(s, err) }) }
	}
	return gated
}

// A dialCtx has the values of a request's context, but a trace of its own.
type dialCtx struct {
	context.Context
	trace context.Context // has nothing but the trace
}

func (c dialCtx) Value(key any) any {
	if v := c.trace.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// dialContext is the context in which x's connection is dialed: it has the values
// of the request's, but goes on when the request ends, because somebody else can
// use the connection.
func (x *exchange) dialContext() context.Context {
	ctx := context.WithoutCancel(x.out.req.Context())
	if x.out.trace == nil {
		return ctx
	}
	// A trace added to ctx would not replace the one in it.
	return dialCtx{ctx, httptrace.WithClientTrace(context.Background(), x.out.gate.trace(x.out.trace))}
}
