package pipeline

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/httppipe/httppipe/wire"
)

// A Dialer connects to origins. The zero value is ready to use.
//
// Its errors say what has failed by what they wrap: a [*net.DNSError] when a name
// could not be resolved, a [*net.OpError] when nothing could be connected to, a
// [*ProxyError] when the proxy refused, an error of crypto/tls when the peer could
// not be trusted. See also [IsTemporary].
type Dialer struct {
	// Options are those of the Conn. If Host is empty, it is set.
	Options Options

	// TLS configures TLS with origins and proxies; nil means the defaults.
	TLS *tls.Config

	// Proxy, if not nil, is the proxy to use. Its scheme is http, https, socks5 or
	// socks5h. An https origin is reached through an HTTP proxy by CONNECT.
	Proxy *url.URL

	// NetDial connects to the origin or proxy; nil means a [net.Dialer].
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial connects to the origin that a URL such as "https://example.com" names. Its
// path is not used. ctx bounds the dialling, TLS and proxies included; the
// Conn does not depend on it.
func (d *Dialer) Dial(ctx context.Context, origin string) (*Conn, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("pipeline: %q names no origin", u.Redacted())
	}
	if u.Host, err = wire.RequestHost(u.Host, true); err != nil {
		return nil, err
	}
	nc, err := d.connect(ctx, u)
	if err == nil && u.Scheme == "https" {
		nc, err = d.handshake(ctx, nc, u.Hostname())
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline: dial %s: %w", u.Host, err)
	}
	opts := d.Options
	if opts.Host == "" {
		opts.Host = u.Host
	}
	c := NewConn(nc, &opts)
	if u.Scheme == "http" && d.Proxy != nil && !isSOCKS(d.Proxy) {
		c.via = proxied{prefix: "http://" + u.Host, auth: proxyAuth(d.Proxy)}
	}
	return c, nil
}

// Dial is [Dialer.Dial] without a proxy. opts may be nil.
func Dial(ctx context.Context, origin string, opts *Options) (*Conn, error) {
	var d Dialer
	if opts != nil {
		d.Options = *opts
	}
	return d.Dial(ctx, origin)
}

// connect connects to the origin u, or to the proxy that is to be sent its requests.
func (d *Dialer) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	switch {
	case d.Proxy == nil:
		return d.netDial(ctx, u)
	case isSOCKS(d.Proxy):
		return d.throughSOCKS(ctx, u)
	}
	nc, err := d.netDial(ctx, d.Proxy)
	if err == nil && d.Proxy.Scheme == "https" {
		nc, err = d.handshake(ctx, nc, d.Proxy.Hostname())
	}
	if err == nil && u.Scheme == "https" {
		nc, err = d.throughCONNECT(ctx, nc, u)
	}
	return nc, err
}

func (d *Dialer) netDial(ctx context.Context, u *url.URL) (net.Conn, error) {
	dial := d.NetDial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, "tcp", hostPort(u))
}

// handshake speaks TLS over nc, which is closed if that fails.
func (d *Dialer) handshake(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
	config := new(tls.Config)
	if d.TLS != nil {
		config = d.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = name
	}
	config.NextProtos = []string{"http/1.1"}
	tc := TLSClient(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return tc, nil
}

// hostPort returns the address of u, with the port of its scheme if it has none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// A ProxyError says that a proxy refused to connect to an origin.
type ProxyError struct {
	StatusCode int
	Reason     string
}

func (e *ProxyError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("proxy refused: %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	}
	return fmt.Sprintf("proxy refused: %d %s", e.StatusCode, e.Reason)
}
