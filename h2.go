package httppipe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// HTTP/2 is spoken by net/http. A hidden http.Transport that can do nothing else
// is handed connections that we dialed, and makes an http.ClientConn of each:
// x/net's HTTP/2 transport is deprecated, and this one honours HTTP2Config.

// protoUnencryptedHTTP2 is the key in TLSNextProto by which net/http and x/net
// hand over connections without TLS.
const protoUnencryptedHTTP2 = "unencrypted_http2"

// h2Setup is what a Transport decides about HTTP/2 when it first dials.
type h2Setup struct {
	once      sync.Once
	builtin   bool // we do HTTP/2, not an entry of TLSNextProto
	protocols http.Protocols
	hidden    *http.Transport // set if builtin
}

// http2 returns the decision, which is made on the first call.
func (t *Transport) http2() *h2Setup {
	t.h2.once.Do(t.setupHTTP2)
	return &t.h2
}

// setupHTTP2 decides as net/http does. HTTP/2 is ours if the Transport's
// protocols include it and nobody else was put in charge of it.
func (t *Transport) setupHTTP2() {
	s := &t.h2
	s.protocols = t.protocols()
	if !s.protocols.HTTP2() && !s.protocols.UnencryptedHTTP2() {
		return
	}
	_, ownHTTPS := t.registered()["https"]
	_, ownH2 := t.TLSNextProto["h2"]
	if ownHTTPS || ownH2 || !netHTTPSpeaksHTTP2() {
		return
	}
	s.builtin = true
	s.hidden = t.newHidden()
}

// protocols returns the Protocols field or its default.
func (t *Transport) protocols() http.Protocols {
	if t.Protocols != nil {
		return *t.Protocols
	}
	var p http.Protocols
	p.SetHTTP1(true)
	if t.TLSNextProto != nil {
		// An empty map was the way to turn HTTP/2 off before Protocols.
		p.SetHTTP2(t.TLSNextProto["h2"] != nil)
		return p
	}
	// Somebody with a dialer or TLS configuration of their own may rely on
	// getting HTTP/1.1, and has to ask.
	customized := t.TLSClientConfig != nil || t.Dial != nil || t.DialContext != nil ||
		t.DialTLS != nil || t.DialTLSContext != nil
	p.SetHTTP2(t.ForceAttemptHTTP2 || !customized)
	return p
}

// netHTTPSpeaksHTTP2 reports whether net/http would use HTTP/2 in this program
// if told to: GODEBUG=http2client=0 and the build tag nethttpomithttp2 turn it
// off, and neither can be seen except by its effect.
func netHTTPSpeaksHTTP2() bool {
	var p http.Protocols
	p.SetHTTP2(true)
	probe := (&http.Transport{Protocols: &p}).Clone()
	return offersHTTP2(probe.TLSClientConfig)
}

func offersHTTP2(cfg *tls.Config) bool {
	return cfg != nil && slices.Contains(cfg.NextProtos, "h2")
}

// nextProtos returns what to offer by ALPN in place of configured, the user's
// choice, which is not changed.
func (s *h2Setup) nextProtos(configured []string) []string {
	if !s.builtin {
		return configured
	}
	offer := configured
	if !slices.Contains(offer, "h2") {
		offer = append([]string{"h2"}, offer...)
	}
	if !slices.Contains(offer, "http/1.1") {
		offer = append(slices.Clip(offer), "http/1.1")
	}
	if !s.protocols.HTTP2() {
		offer = without(offer, "h2")
	}
	if !s.protocols.HTTP1() {
		offer = without(offer, "http/1.1")
	}
	return offer
}

// without returns list, unchanged, less the items equal to s.
func without[T comparable](list []T, s T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(item T) bool { return item == s })
}

// chooseProtocol hands d.conn over to HTTP/2, or to an entry of TLSNextProto, if
// TLS or the configuration says so. On error d.conn is closed.
func (t *Transport) chooseProtocol(ctx context.Context, r route, d *dialed) error {
	proto := t.protocolOf(d)
	if proto == "" {
		return nil // HTTP/1.1
	}
	if isHTTP2(proto) && t.http2().builtin {
		return t.startHTTP2(ctx, r, d)
	}
	if _, ok := t.TLSNextProto[proto]; ok {
		return t.startNextProto(r, d, proto)
	}
	if proto == protoUnencryptedHTTP2 {
		d.conn.Close()
		return errNoUnencryptedHTTP2
	}
	return nil // what else was agreed on, if nobody claims it, is HTTP/1.1
}

// protocolOf returns the key in TLSNextProto of what is to be spoken on d.conn,
// or "" if nothing was agreed on.
func (t *Transport) protocolOf(d *dialed) string {
	if d.tlsState != nil {
		return d.tlsState.NegotiatedProtocol
	}
	if t.priorKnowledge() {
		return protoUnencryptedHTTP2
	}
	return ""
}

func isHTTP2(proto string) bool {
	return proto == "h2" || proto == protoUnencryptedHTTP2
}

// priorKnowledge reports whether connections without TLS use HTTP/2.
func (t *Transport) priorKnowledge() bool {
	return t.Protocols != nil && t.Protocols.UnencryptedHTTP2() && !t.Protocols.HTTP1()
}

// handoff is the context key of the connection to make an http.ClientConn of.
type handoff struct{}

// newHidden returns an http.Transport that turns the connection in its context
// into an http.ClientConn for HTTP/2.
func (t *Transport) newHidden() *http.Transport {
	take := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return ctx.Value(handoff{}).(net.Conn), nil
	}
	var p http.Protocols
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{
		DialContext:            take,
		DialTLSContext:         take,
		Protocols:              &p,
		HTTP2:                  cloneValue(t.HTTP2),
		DisableKeepAlives:      t.DisableKeepAlives,
		DisableCompression:     t.DisableCompression,
		IdleConnTimeout:        t.IdleConnTimeout,
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  t.ExpectContinueTimeout,
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
	}
}

// startHTTP2 makes an HTTP/2 connection of d.conn, or closes it if there is one
// already with room for more requests: many callers that meet an unknown origin
// together each dial, but end up on one connection.
func (t *Transport) startHTTP2(ctx context.Context, r route, d *dialed) error {
	conn := d.conn
	d.conn = nil
	if d.alt = t.alts.get(r.key()); d.alt != nil {
		d.shared = true
		conn.Close()
		return nil
	}
	c, err := t.newH2Conn(ctx, r, conn, d.tlsState)
	if err != nil {
		conn.Close()
		return err
	}
	d.alt = c
	if c.single {
		return nil // for the request that it was dialed for, and no other
	}
	if other := t.alts.addIfNone(r.key(), c); other != c {
		c.cc.Close()
		d.alt, d.shared = other, true
	}
	return nil
}

// newH2Conn starts HTTP/2 on conn, which stays the caller's if that fails.
func (t *Transport) newH2Conn(ctx context.Context, r route, conn net.Conn, state *tls.ConnectionState) (*h2Conn, error) {
	cc, err := t.newClientConn(ctx, r, conn, state)
	if err != nil {
		return nil, err
	}
	c := &h2Conn{
		cc:     cc,
		conn:   conn,
		strict: t.HTTP2 != nil && t.HTTP2.StrictMaxConcurrentRequests,
		single: t.DisableKeepAlives,
	}
	c.idleSince.Store(time.Now().UnixNano())
	key := r.key()
	cc.SetStateHook(func(*http.ClientConn) {
		if c.ended() {
			t.alts.remove(key, c)
		}
		c.stateChanged()
	})
	return c, nil
}

// newClientConn has the hidden transport start HTTP/2 on conn. It writes the
// connection preface, and so may block; when ctx ends, conn is closed.
func (t *Transport) newClientConn(ctx context.Context, r route, conn net.Conn, state *tls.ConnectionState) (*http.ClientConn, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	// The trace in ctx saw the handshake already, and must not see it again.
	scheme, hidden := "http", context.WithValue(context.Background(), handoff{}, conn)
	if state != nil {
		scheme = "https"
	}
	cc, err := t.http2().hidden.NewClientConn(hidden, scheme, r.addr)
	if !stop() {
		if err == nil {
			cc.Close()
		}
		return nil, ctx.Err()
	}
	return cc, err
}

var errNoUnencryptedHTTP2 = errors.New("httppipe: Transport does not support unencrypted HTTP/2")

// startNextProto hands d.conn over to the user's implementation of proto.
func (t *Transport) startNextProto(r route, d *dialed, proto string) error {
	rt, err := t.nextProto(r, d, proto)
	if err != nil {
		return err
	}
	d.conn = nil
	key := r.key()
	alt := &protoConn{rt: rt, forget: func(c *protoConn) { t.alts.remove(key, c) }}
	if !t.DisableKeepAlives && t.MaxIdleConnsPerHost >= 0 {
		t.alts.add(key, alt)
	}
	d.alt = alt
	return nil
}

// nextProto has the user's implementation of proto take d.conn over. On error
// d.conn is closed.
func (t *Transport) nextProto(r route, d *dialed, proto string) (http.RoundTripper, error) {
	tc, ok := d.conn.(*tls.Conn)
	if !ok {
		tc = tls.Client(plainInTLS{plain: d.conn}, nil)
	}
	rt := t.TLSNextProto[proto](r.addr, tc)
	if failed, ok := rt.(interface{ RoundTripErr() error }); ok {
		return nil, failed.RoundTripErr() // it has closed the connection
	}
	if rt == nil {
		d.conn.Close()
		return nil, errors.New("httppipe: TLSNextProto[" + proto + "] returned nil")
	}
	return rt, nil
}

// plainInTLS passes an unencrypted connection where only a [tls.Conn] fits. It
// is how net/http and x/net do it: the receiver asks for UnencryptedNetConn.
type plainInTLS struct {
	net.Conn // nil: nothing but UnencryptedNetConn may be called
	plain    net.Conn
}

func (c plainInTLS) UnencryptedNetConn() net.Conn { return c.plain }
