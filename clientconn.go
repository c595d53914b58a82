package httppipe

import (
	"context"
	"errors"
	"net/http"

	"github.com/httppipe/httppipe/pipeline"
)

// A ClientConn is a single connection to an HTTP server, as [http.ClientConn] is,
// with the same methods. It is safe for concurrent use.
//
// An HTTP/1.1 ClientConn carries one request at a time, because its methods count
// requests, not connections that have room. To pipeline on a connection of one's
// own there is package pipeline.
type ClientConn struct {
	conn clientConn
}

// A clientConn is a connection in some version of HTTP. Its methods do what those
// of http.ClientConn of the same name do.
type clientConn interface {
	http.RoundTripper
	Close() error
	Err() error
	Reserve() error
	Release()
	Available() int
	InFlight() int
}

// NewClientConn makes a new connection to address ("host:port"), through a proxy
// if Transport.Proxy says so. The scheme is "http" or "https", and the protocol
// is chosen as for requests.
//
// The connection is not among those that RoundTrip uses, counts for none of the
// Transport's limits, and is the caller's to close.
func (t *Transport) NewClientConn(ctx context.Context, scheme, address string) (*ClientConn, error) {
	r, err := t.routeTo(ctx, scheme, address)
	if err != nil {
		return nil, err
	}
	d, err := t.connect(ctx, r, func() {})
	if err != nil {
		return nil, err
	}
	cc := new(ClientConn)
	proto := t.protocolOf(d)
	switch {
	case isHTTP2(proto) && t.http2().builtin:
		cc.conn, err = t.newH2ClientConn(ctx, r, d)
	case t.TLSNextProto[proto] != nil:
		cc.conn, err = t.newNextProtoClientConn(r, d, proto)
	case proto == protoUnencryptedHTTP2:
		err = errNoUnencryptedHTTP2
		d.conn.Close()
	default:
		cc.conn = t.newH1ClientConn(r, d)
	}
	if err != nil {
		return nil, err
	}
	return cc, nil
}

func (t *Transport) newH2ClientConn(ctx context.Context, r route, d *dialed) (clientConn, error) {
	cc, err := t.newClientConn(ctx, r, d.conn, d.tlsState)
	if err != nil {
		d.conn.Close()
		return nil, err
	}
	return cc, nil
}

// newNextProtoClientConn has the user's implementation of proto take the
// connection over, if it can represent a single one.
func (t *Transport) newNextProtoClientConn(r route, d *dialed, proto string) (clientConn, error) {
	rt, err := t.nextProto(r, d, proto)
	if err != nil {
		return nil, err
	}
	cc, ok := rt.(clientConn)
	if !ok {
		d.conn.Close()
		return nil, errors.New("http: NewClientConn returned something that is not a ClientConn")
	}
	return cc, nil
}

func (t *Transport) newH1ClientConn(r route, d *dialed) *h1ClientConn {
	c := &h1ClientConn{t: t, route: r, free: make(chan struct{}, 1), over: make(chan struct{})}
	c.free <- struct{}{}
	c.conn = &conn{dialed: d}
	opts := t.driverOptions()
	c.conn.d = pipeline.NewDriver(d.conn, opts, pipeline.Hooks{Left: c.left, Ended: c.ended})
	return c
}

// RoundTrip sends a request on the connection, whatever its URL and the
// Transport's Proxy say. It waits for the connection to have room, and uses up a
// reservation if there is one. The request is never sent again.
func (cc *ClientConn) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := validateForClientConn(req); err != nil {
		closeBody(req)
		cc.Release()
		return nil, err
	}
	return cc.conn.RoundTrip(req)
}

// validateForClientConn finds what http.ClientConn would refuse.
func validateForClientConn(req *http.Request) error {
	switch {
	case req.URL == nil:
		return errors.New("http: nil Request.URL")
	case req.Header == nil:
		return errors.New("http: nil Request.Header")
	}
	if _, err := validateFields("header", req.Header); err != nil {
		return err
	}
	if _, err := validateFields("trailer", req.Trailer); err != nil {
		return err
	}
	return validateMethodAndHost(req)
}

// Close closes the connection. RoundTrips in flight fail.
func (cc *ClientConn) Close() error { return cc.conn.Close() }

// Err says why the connection can no longer be used; it is nil as long as it can.
func (cc *ClientConn) Err() error { return cc.conn.Err() }

// Available is how many requests can be sent without waiting. It is 0 when the
// connection is closed.
func (cc *ClientConn) Available() int { return cc.conn.Available() }

// InFlight is how many requests are in flight, those reserved included. It is 0
// when the connection is closed.
func (cc *ClientConn) InFlight() int { return cc.conn.InFlight() }

// Reserve makes sure that one RoundTrip need not wait, or returns an error. Either
// RoundTrip or Release has to follow, once.
func (cc *ClientConn) Reserve() error { return cc.conn.Reserve() }

// Release gives back what Reserve has taken. If nothing is reserved it does
// nothing.
func (cc *ClientConn) Release() { cc.conn.Release() }

// SetStateHook has f called when more requests may be sent than before, when
// fewer are in flight, and when the connection has ended. It is called once at a
// time, from whichever goroutine noticed: it may be that of a RoundTrip or of a
// Read of a body. A hook that is set replaces the one before; nil removes it.
//
// That an idle HTTP/1.1 connection was closed by its peer is noticed by Err at
// once, and by the hook within about a second.
func (cc *ClientConn) SetStateHook(f func(*ClientConn)) {
	var hook func()
	if f != nil {
		hook = func() { f(cc) }
	}
	switch conn := cc.conn.(type) {
	case *h1ClientConn:
		conn.setStateHook(hook)
	case *http.ClientConn:
		if hook == nil {
			conn.SetStateHook(nil)
			return
		}
		conn.SetStateHook(func(*http.ClientConn) { hook() })
	}
}
