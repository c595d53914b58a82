package httppipe

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// DefaultMaxPipelineDepth is the most requests that a Transport keeps sent and
// unanswered on one connection when [Transport.MaxPipelineDepth] is zero; or a quarter
// of it, if [Transport.MaxConnsPerHost] is zero too, so that there can be others.
//
// How deep it pays to go is learnt from the origin, and is less, mostly: as deep as
// the round trip takes to fill. This is the bound for that, because every request in
// flight is one more to send again when the connection ends, or that waits when the
// origin becomes slow.
const DefaultMaxPipelineDepth = 256

// defaultMaxResponseHeaderBytes bounds a response header section when
// [Transport.MaxResponseHeaderBytes] is zero. It is the bound of net/http.
const defaultMaxResponseHeaderBytes = 10 << 20

// DefaultTransport is a Transport with the settings of
// [net/http.DefaultTransport]: proxies from the environment, 30 s to dial,
// 10 s for a TLS handshake, at most 100 idle connections for 90 s each, 1 s to
// wait for 100 (Continue), and HTTP/2 where the origin offers it.
var DefaultTransport http.RoundTripper = &Transport{
	Proxy: http.ProxyFromEnvironment,
	DialContext: (&net.Dialer{
		Timeout:   30 * time.Second,
		KeepAlive: 30 * time.Second,
	}).DialContext,
	ForceAttemptHTTP2:     true,
	MaxIdleConns:          100,
	IdleConnTimeout:       90 * time.Second,
	TLSHandshakeTimeout:   10 * time.Second,
	ExpectContinueTimeout: 1 * time.Second,
}

// A Transport is an [http.RoundTripper] that pipelines: concurrent safe
// requests to one origin share HTTP/1.1 connections, as few as serve them well,
// instead of opening one each. Everything else behaves as with [http.Transport], whose
// exported fields it repeats with the same names, types and meanings.
//
// The zero value is ready to use. A Transport is safe for concurrent use, keeps
// connections for later requests, and should be made once and shared. Its
// fields must not be changed after its first use; unlike net/http, a Transport
// never changes them (or what they point to) itself.
//
// Origins that negotiate HTTP/2 are spoken to in HTTP/2, by net/http's own
// implementation, under the conditions under which http.Transport does it.
type Transport struct {
	// Proxy chooses the proxy for a request. With a nil func, or one that
	// returns a nil URL, the request goes to its origin directly. An error
	// fails the request.
	//
	// The scheme of the URL says how to speak to the proxy: "http" (also
	// meant by an empty scheme), "https", "socks5" or "socks5h"; the last two
	// are the same, the proxy resolves names. A username and password in the
	// URL are sent to the proxy, for HTTP in a Proxy-Authorization field.
	Proxy func(*http.Request) (*url.URL, error)

	// OnProxyConnectResponse, if not nil, sees every answer of a proxy to a
	// CONNECT request before its status is looked at. An error fails the
	// requests that waited for the tunnel.
	OnProxyConnectResponse func(ctx context.Context, proxyURL *url.URL, connectReq *http.Request, connectRes *http.Response) error

	// DialContext opens unencrypted connections. With neither DialContext nor
	// Dial set, a zero [net.Dialer] does.
	//
	// It runs beside the requests that want the connection: such a request
	// may take another connection that becomes free first, and a dial outlives
	// the request that began it.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Dial opens unencrypted connections when DialContext is nil.
	//
	// Deprecated: Use DialContext, which can be told to give up.
	Dial func(network, addr string) (net.Conn, error)

	// DialTLSContext, if not nil, opens the connections of https requests that
	// use no proxy, and those to https proxies. The result must be past its
	// TLS handshake (for a [tls.Conn] the Transport sees to it).
	// DialContext, Dial, TLSClientConfig and TLSHandshakeTimeout do not apply
	// to these connections.
	DialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// DialTLS does the work of DialTLSContext when that is nil.
	//
	// Deprecated: Use DialTLSContext, which can be told to give up.
	DialTLS func(network, addr string) (net.Conn, error)

	// TLSClientConfig is the configuration of the TLS connections that the
	// Transport sets up itself. It is cloned for each of them. Nil means the
	// zero configuration. A non-nil one turns HTTP/2 off unless
	// ForceAttemptHTTP2 or Protocols asks for it.
	TLSClientConfig *tls.Config

	// TLSHandshakeTimeout bounds each TLS handshake. Zero means no bound.
	TLSHandshakeTimeout time.Duration

	// DisableKeepAlives makes every connection carry one request only, and
	// tells the origin so. It has nothing to do with TCP keep-alives.
	DisableKeepAlives bool

	// DisableCompression stops the Transport from asking for gzip on its own.
	// Otherwise a request without Accept-Encoding gets "gzip", and a response
	// compressed for that reason is decoded on its way to the caller. A caller
	// who asks for gzip itself gets the octets as sent.
	DisableCompression bool

	// MaxIdleConns is the most idle connections to keep, over all origins.
	// Zero means no limit. All count that are idle, for whatever reason.
	MaxIdleConns int

	// MaxIdleConnsPerHost is the most idle connections to keep for one origin
	// (or proxy). Zero means [http.DefaultMaxIdleConnsPerHost]; a negative
	// value keeps none. Those that are idle only because their requests share
	// others do not count: there are never more idle ones than net/http would
	// have idle or in use.
	MaxIdleConnsPerHost int

	// MaxConnsPerHost is the most connections to one origin (or proxy), be
	// they dialing, in use, or idle. At the limit requests wait, or share.
	// Zero means no limit.
	MaxConnsPerHost int

	// IdleConnTimeout is how long an idle connection is kept.
	// Zero means for ever.
	IdleConnTimeout time.Duration

	// ResponseHeaderTimeout bounds the wait for a response's header section,
	// from the moment the request is sent in full, its content included.
	// Waiting behind other requests on the connection does not count, nor
	// does reading the content. Zero means no bound.
	ResponseHeaderTimeout time.Duration

	// ExpectContinueTimeout is how long the content of a request with
	// "Expect: 100-continue" is held back after its header section was sent.
	// Zero means that it is sent at once.
	ExpectContinueTimeout time.Duration

	// TLSNextProto hands TLS connections over to other protocols. After a
	// handshake that agreed on a protocol (ALPN) found in the map, the func is
	// called with the authority of the request and the connection, and the
	// RoundTripper it returns gets the requests.
	//
	// A non-nil map, even an empty one, turns the built-in HTTP/2 off.
	// Protocols is the simpler way to do that.
	TLSNextProto map[string]func(authority string, c *tls.Conn) http.RoundTripper

	// ProxyConnectHeader holds fields to send with CONNECT requests.
	ProxyConnectHeader http.Header

	// GetProxyConnectHeader, if not nil, is asked for the fields to send with
	// the CONNECT request for target ("host:port"), and ProxyConnectHeader is
	// ignored. It may return nil for none. An error fails the requests that
	// waited for the tunnel.
	GetProxyConnectHeader func(ctx context.Context, proxyURL *url.URL, target string) (http.Header, error)

	// MaxResponseHeaderBytes bounds the octets of a response's header section.
	// Zero means the default of 10 MiB.
	MaxResponseHeaderBytes int64

	// WriteBufferSize is there for compatibility, and has no effect: what is to
	// be written grows and shrinks with what the connection carries.
	WriteBufferSize int

	// ReadBufferSize is there for compatibility, and has no effect: the buffer
	// has 4 KiB, and up to 64 KiB when the connection is busy.
	ReadBufferSize int

	// ForceAttemptHTTP2 offers HTTP/2 although a dial func or TLSClientConfig
	// is set, which without it (and without Protocols) means HTTP/1.1 only.
	ForceAttemptHTTP2 bool

	// HTTP2 configures HTTP/2 connections. Nil means the defaults of net/http.
	HTTP2 *http.HTTP2Config

	// Protocols is the set of protocols that may be spoken. With
	// UnencryptedHTTP2 in the set and HTTP1 not, http requests use HTTP/2
	// without asking (prior knowledge).
	//
	// Nil means HTTP/1.1, and HTTP/2 as well when ForceAttemptHTTP2 is set, or
	// none of the dial funcs, TLSClientConfig and TLSNextProto is.
	Protocols *http.Protocols

	// MaxPipelineDepth is the most requests that may be sent and unanswered on
	// one HTTP/1.1 connection. Zero means the default: a depth that adapts to
	// the origin, see [DefaultMaxPipelineDepth]. One turns pipelining off,
	// and so does a negative value.
	MaxPipelineDepth int

	// PipelineUploads lets PUT and DELETE requests share connections too, if
	// their content is in memory or can be rewound (Request.GetBody).
	//
	// It is a promise about the origins: that they process pipelined requests
	// in order and find the end of each one's content. Not all servers do:
	// some run pipelined PUT, GET and DELETE concurrently, some put the next
	// request into the content of the one before it. By default a request with
	// content, or with an effect, travels alone.
	PipelineUploads bool

	// Classify, if not nil, chooses how a request may share an HTTP/1.1
	// connection, unless its context does ([WithPipelining]). It is called once
	// for each RoundTrip, on the caller's goroutine, before the request is sent,
	// and must not change the request. With ByMethod it leaves the choice to the
	// Transport. It is asked before it is certain which protocol the origin
	// speaks; where that is HTTP/2 its choice has no meaning.
	Classify func(*http.Request) Pipelining

	pool  pool      // the HTTP/1.1 connections
	spare sync.Pool // *roundTrip: see roundTrip.recycle
	stats counters
	alts  altTable
	h2    h2Setup

	altMu    sync.Mutex                                   // guards changing altProto
	altProto atomic.Pointer[map[string]http.RoundTripper] // by URL scheme; the map is never changed
	proxyStr atomic.Pointer[proxyString]
}

// FromHTTP returns a Transport configured like src: every exported field is
// copied as [http.Transport.Clone] copies it, and HTTP/2 is used where src
// would use it. A nil src is taken for a zero http.Transport.
//
// Protocols that were added to src with RegisterProtocol cannot be seen from
// outside and have to be registered again. As with Clone, src must not be
// changed any more, and its connections stay its own.
func FromHTTP(src *http.Transport) *Transport {
	if src == nil {
		return new(Transport)
	}
	t := fromHTTPFields(src.Clone())
	// net/http turns HTTP/2 on by writing to the TLSClientConfig that it was
	// given, or by making one up. In the clone that would look like a
	// configuration of the user's, which turns HTTP/2 off.
	if t.Protocols == nil && t.TLSNextProto == nil && offersHTTP2(t.TLSClientConfig) {
		t.ForceAttemptHTTP2 = true
	}
	return t
}

// RegisterProtocol makes rt answer the requests whose URL has the given scheme.
// If rt returns [http.ErrSkipAltProtocol], the Transport sends that request
// itself. A scheme can be registered once; a second time panics.
//
// As in net/http, an own RoundTripper for "https" that is registered before the
// first request turns the built-in HTTP/2 off.
func (t *Transport) RegisterProtocol(scheme string, rt http.RoundTripper) {
	t.altMu.Lock()
	defer t.altMu.Unlock()
	registered := t.registered()
	if _, dup := registered[scheme]; dup {
		panic("protocol " + scheme + " already registered")
	}
	next := make(map[string]http.RoundTripper, len(registered)+1)
	maps.Copy(next, registered)
	next[scheme] = rt
	t.altProto.Store(&next)
}

// registered returns the RoundTrippers given to RegisterProtocol, by scheme.
// The map must not be changed.
func (t *Transport) registered() map[string]http.RoundTripper {
	if m := t.altProto.Load(); m != nil {
		return *m
	}
	return nil
}

// alternateRoundTripper returns the RoundTripper registered for req's scheme,
// or nil if there is none. It is not asked for https requests that must use
// HTTP/1.1, because in practice it is an HTTP/2 implementation.
func (t *Transport) alternateRoundTripper(req *http.Request) http.RoundTripper {
	registered := t.registered()
	if registered == nil || req.URL.Scheme == "https" && requiresHTTP1(req) {
		return nil
	}
	return registered[req.URL.Scheme]
}

// requiresHTTP1 reports whether req asks for an upgrade to WebSocket, which
// HTTP/2 does not know (RFC 9113, Section 8.6).
func requiresHTTP1(req *http.Request) bool {
	upgrade := req.Header["Upgrade"]
	return len(upgrade) > 0 &&
		httpguts.HeaderValuesContainsToken(upgrade, "websocket") &&
		httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade")
}

// CloseIdleConnections closes the connections that carry no request at the
// moment. Connections in use are not disturbed.
func (t *Transport) CloseIdleConnections() {
	t.pool.closeIdle()
	t.alts.closeIdle()
}

// CancelRequest makes the call in flight for req fail. It does nothing for a
// request that is not in flight, or that is sent in HTTP/2.
//
// Deprecated: Use [http.Request.WithContext] and cancel the context.
func (t *Transport) CancelRequest(req *http.Request) {
	t.pool.cancelRequest(req)
}

// maxResponseHeaderBytes returns MaxResponseHeaderBytes or its default.
func (t *Transport) maxResponseHeaderBytes() int64 {
	if t.MaxResponseHeaderBytes > 0 {
		return t.MaxResponseHeaderBytes
	}
	return defaultMaxResponseHeaderBytes
}
