package httppipe

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"github.com/httppipe/httppipe/wire"
)

// The hooks of package httptrace, in net/http's order. All run on the goroutine
// that called RoundTrip, or that reads the body.

// traceGotConn calls the GotConn hook.
func (rt *roundTrip) traceGotConn(x *exchange) {
	if rt.out.trace != nil && rt.out.trace.GotConn != nil {
		rt.out.trace.GotConn(httptrace.GotConnInfo{
			Conn:     x.conn.dialed.conn,
			Reused:   x.reused,
			WasIdle:  x.wasIdle,
			IdleTime: x.idleTime,
		})
	}
}

// traceWrote tells of the request's head.
func (rt *roundTrip) traceWrote(x *exchange) {
	if rt.out.trace == nil {
		return
	}
	if rt.out.trace.WroteHeaderField != nil {
		rt.traceFields(x)
	}
	if rt.out.trace.WroteHeaders != nil {
		rt.out.trace.WroteHeaders()
	}
	if x.out.expect && rt.out.trace.Wait100Continue != nil {
		rt.out.trace.Wait100Continue()
	}
}

// traceFields tells of each field, with all of its values.
func (rt *roundTrip) traceFields(x *exchange) {
	var last string
	var values []string
	x.call.Request.Each(func(name, value string) {
		if name != last && last != "" {
			rt.out.trace.WroteHeaderField(last, values)
			values = nil
		}
		last, values = name, append(values, value)
	})
	rt.out.trace.WroteHeaderField(last, values) // there is always Host
}

// traceWroteRequest tells, once, that the request is sent, or why not.
func (rt *roundTrip) traceWroteRequest(x *exchange, err error) {
	if rt.out.trace == nil || rt.out.trace.WroteRequest == nil || x.toldWrote {
		return
	}
	x.toldWrote = true
	rt.out.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
}

// traceFirstByte tells that the first octet of a response has arrived.
func (rt *roundTrip) traceFirstByte() {
	if rt.out.trace != nil && rt.out.trace.GotFirstResponseByte != nil {
		rt.out.trace.GotFirstResponseByte()
	}
}

// traceInterim tells of an interim response. An error ends the request.
func (rt *roundTrip) traceInterim(x *exchange, head wire.ResponseHead) error {
	if rt.out.trace == nil {
		return nil
	}
	if head.StatusCode == http.StatusContinue && x.out.expect && !x.told100 {
		x.told100 = true
		if rt.out.trace.Got100Continue != nil {
			rt.out.trace.Got100Continue()
		}
	}
	if rt.out.trace.Got1xxResponse != nil {
		return rt.out.trace.Got1xxResponse(head.StatusCode, textproto.MIMEHeader(head.Header))
	}
	return nil
}

// tracePutIdle tells that the connection can be used again, or why not.
func (x *exchange) tracePutIdle(rt *roundTrip) {
	if rt.out.trace == nil || rt.out.trace.PutIdleConn == nil {
		return
	}
	if rt.t.DisableKeepAlives || !x.conn.d.Usable() {
		return
	}
	rt.out.trace.PutIdleConn(nil)
}
