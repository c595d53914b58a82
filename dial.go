package httppipe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"

	"github.com/httppipe/httppipe/pipeline"
)

// tlsClient makes the TLS connections that the Transport sets up itself.
var tlsClient = pipeline.TLSClient

// zeroDialer dials when the Transport has no dial func.
var zeroDialer net.Dialer

// dialed is what dialing a route leads to: either a connection for HTTP/1.1, or
// another protocol that took the connection over.
type dialed struct {
	// conn is ready for HTTP/1.1: past its TLS handshake, through any proxy.
	// The caller owns it. Nil if alt is not.
	conn net.Conn

	// tlsState is what the last TLS handshake agreed on: with the origin, or
	// with an https proxy that an http request goes to. Nil without TLS.
	tlsState *tls.ConnectionState

	// alt, if not nil, takes all requests on this route, for as long as it is
	// usable. It owns the connection.
	alt altConn

	// shared says that alt was there before, and that the connection just
	// dialed was closed because it turned out to be one too many.
	shared bool

	// proxyAuth is the value of the Proxy-Authorization field of each request,
	// or "". Set only for routes that go via an HTTP proxy without a tunnel.
	proxyAuth string
}

// dialRoute makes a new connection for r: to the origin, or to the proxy and
// through it; then TLS, if any; then the choice of the protocol.
//
// Errors are those of net/http: what goes wrong on the way to a proxy is a
// [net.OpError] with the operation "proxyconnect". When ctx ends, dialRoute
// gives up as soon as the dial func it is in does, and nothing is left behind.
// The trace in ctx sees the dialing and the TLS handshakes. reached is called when octets
// can be sent to the origin, through any proxy, before TLS with it: unless a dial func does
// that along with TLS, or the proxy is sent the requests themselves.
func (t *Transport) dialRoute(ctx context.Context, r route, reached func()) (*dialed, error) {
	d, err := t.connect(ctx, r, reached)
	if err != nil {
		return nil, err
	}
	if err := t.chooseProtocol(ctx, r, d); err != nil {
		return nil, err
	}
	return d, nil
}

// connect is dialRoute up to the point where the protocol is known but nobody
// speaks it yet.
func (t *Transport) connect(ctx context.Context, r route, reached func()) (*dialed, error) {
	d := new(dialed)
	if err := t.dialFirstHop(ctx, r, d, reached); err != nil {
		return nil, err
	}
	if r.proxyURL == nil {
		return d, nil
	}
	if err := t.passProxy(ctx, r, d); err != nil {
		return nil, err
	}
	if !r.viaHTTPProxy() {
		reached()
	}
	if r.scheme == "https" {
		if err := t.addTLS(ctx, d, t.tlsConfigFor(r, hostOf(r.addr))); err != nil {
			return nil, mapSchemeMismatch(err)
		}
	}
	return d, nil
}

// dialFirstHop connects to the origin or, if there is one, the proxy, with the
// encryption that its scheme asks for. On error nothing stays open.
func (t *Transport) dialFirstHop(ctx context.Context, r route, d *dialed, reached func()) error {
	scheme, addr := r.firstHop()
	if scheme == "https" && (t.DialTLSContext != nil || t.DialTLS != nil) {
		return t.dialCustomTLS(ctx, r, addr, d)
	}
	var err error
	if d.conn, err = t.dial(ctx, addr); err != nil {
		return r.wrapProxyError(err)
	}
	if r.proxyURL == nil {
		reached()
	}
	if scheme != "https" {
		return nil
	}
	cfg := t.tlsConfigFor(r, hostOf(addr))
	if r.proxyURL == nil {
		return mapSchemeMismatch(t.addTLS(ctx, d, cfg))
	}
	// What follows is HTTP/1.1, a CONNECT request or any other, and so nothing
	// else must be agreed on with the proxy.
	cfg.NextProtos = without(cfg.NextProtos, "h2")
	return r.wrapProxyError(t.addTLS(ctx, d, cfg))
}

// dial opens an unencrypted connection to addr.
func (t *Transport) dial(ctx context.Context, addr string) (net.Conn, error) {
	switch {
	case t.DialContext != nil:
		return notBothNil(t.DialContext(ctx, "tcp", addr))
	case t.Dial != nil:
		return notBothNil(t.Dial("tcp", addr))
	}
	return zeroDialer.DialContext(ctx, "tcp", addr)
}

// dialCustomTLS opens a connection by DialTLSContext or DialTLS.
func (t *Transport) dialCustomTLS(ctx context.Context, r route, addr string, d *dialed) error {
	var err error
	if t.DialTLSContext != nil {
		d.conn, err = notBothNil(t.DialTLSContext(ctx, "tcp", addr))
	} else {
		d.conn, err = notBothNil(t.DialTLS("tcp", addr))
	}
	if err != nil {
		return r.wrapProxyError(err)
	}
	tc, ok := d.conn.(*tls.Conn)
	if !ok {
		return nil // encrypted in a way that we need not understand
	}
	// The func may have left the handshake to the first Read, and without it
	// the protocol is not known.
	return mapSchemeMismatch(handshake(ctx, tc, d))
}

// notBothNil guards against dial funcs that return neither.
func notBothNil(conn net.Conn, err error) (net.Conn, error) {
	if conn == nil && err == nil {
		return nil, errors.New("httppipe: dial func of the Transport returned (nil, nil)")
	}
	return conn, err
}

// addTLS puts TLS on top of d.conn, which may itself be a TLS connection to a
// proxy. On error d.conn is closed.
func (t *Transport) addTLS(ctx context.Context, d *dialed, cfg *tls.Config) error {
	if limit := t.TLSHandshakeTimeout; limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errTLSHandshakeTimeout)
		defer cancel()
	}
	return handshake(ctx, tlsClient(d.conn, cfg), d)
}

// handshake runs the TLS handshake of tc, which becomes d.conn, and tells the
// trace in ctx. On error tc is closed.
//
// If ctx ends with the cause [errTLSHandshakeTimeout], that is the error.
func handshake(ctx context.Context, tc *tls.Conn, d *dialed) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := tc.HandshakeContext(ctx) // closes tc when ctx ends
	if err != nil && context.Cause(ctx) == errTLSHandshakeTimeout {
		err = errTLSHandshakeTimeout
	}
	var state tls.ConnectionState
	if err != nil {
		tc.Close()
	} else {
		state = tc.ConnectionState()
		d.conn, d.tlsState = tc, &state
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(state, err)
	}
	return err
}

// tlsConfigFor returns a new configuration for a TLS connection to host, a name
// or address without a port.
func (t *Transport) tlsConfigFor(r route, host string) *tls.Config {
	cfg := new(tls.Config)
	if t.TLSClientConfig != nil {
		cfg = t.TLSClientConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	if r.onlyH1 {
		cfg.NextProtos = nil
	} else {
		cfg.NextProtos = t.http2().nextProtos(cfg.NextProtos)
	}
	return cfg
}

// hostOf returns the host in addr, which has a port, without brackets.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // not ours to complain about: dialing does
	}
	return host
}

// errTLSHandshakeTimeout is the error of a handshake that took longer than
// Transport.TLSHandshakeTimeout.
var errTLSHandshakeTimeout error = tlsHandshakeTimeoutError{}

// A tlsHandshakeTimeoutError is a [net.Error]. Its text is net/http's to the
// letter, because programs look for it.
type tlsHandshakeTimeoutError struct{}

func (tlsHandshakeTimeoutError) Error() string   { return "net/http: TLS handshake timeout" }
func (tlsHandshakeTimeoutError) Timeout() bool   { return true }
func (tlsHandshakeTimeoutError) Temporary() bool { return true } // as in net/http

// A schemeMismatchError says that an https request reached a server that speaks
// plain HTTP. It is [http.ErrSchemeMismatch] to errors.Is (net/http leaves the
// translation to http.Client), and a [tls.RecordHeaderError] to errors.As.
type schemeMismatchError struct{ tls tls.RecordHeaderError }

func (e schemeMismatchError) Error() string        { return http.ErrSchemeMismatch.Error() }
func (e schemeMismatchError) Is(target error) bool { return target == http.ErrSchemeMismatch }
func (e schemeMismatchError) Unwrap() error        { return e.tls }

// mapSchemeMismatch returns err, or a clearer one if a TLS handshake failed
// because the server answered in plain HTTP.
func mapSchemeMismatch(err error) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && string(header.RecordHeader[:]) == "HTTP/" {
		return schemeMismatchError{header}
	}
	return err
}
