package pipeline

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/httppipe/httppipe/wire"
)

// proxied says how requests are changed that a proxy is sent in place of their
// origin. The zero value changes nothing.
type proxied struct {
	prefix string      // of request-targets: scheme and authority of the origin
	auth   http.Header // credentials for the proxy; may be nil
}

// prepare changes h.
func (p *proxied) prepare(h *wire.RequestHead) {
	if p.prefix == "" {
		return
	}
	switch {
	case h.Target == "*":
		h.Target = p.prefix // RFC 9112, Section 3.2.4
	case strings.HasPrefix(h.Target, "/"):
		h.Target = p.prefix + h.Target
	}
	if p.auth != nil {
		extra := p.auth.Clone()
		for name, values := range h.Extra {
			extra[name] = values
		}
		h.Extra = extra
	}
}

func isSOCKS(u *url.URL) bool { return u.Scheme == "socks5" || u.Scheme == "socks5h" }

// proxyAuth returns the credentials in u as a field; nil if there are none.
func proxyAuth(u *url.URL) http.Header {
	if u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	pair := u.User.Username() + ":" + password // RFC 7617, Section 2
	return http.Header{"Proxy-Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}}
}

// throughCONNECT makes a tunnel to u of nc, which leads to the proxy and is closed
// if that fails.
func (d *Dialer) throughCONNECT(ctx context.Context, nc net.Conn, u *url.URL) (net.Conn, error) {
	c := NewConn(nc, &Options{Limits: d.Options.Limits, Timeout: d.Options.Timeout, Trace: d.Options.Trace})
	tunnel, err := c.connectTo(ctx, hostPort(u), proxyAuth(d.Proxy))
	if err != nil {
		c.Close()
	}
	return tunnel, err
}

func (c *Conn) connectTo(ctx context.Context, addr string, auth http.Header) (net.Conn, error) {
	req := &Request{Method: http.MethodConnect, Target: addr, Host: addr, Header: auth}
	if err := c.SendRequest(ctx, req); err != nil {
		return nil, err
	}
	resp, err := c.ReadResponse(ctx)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &ProxyError{resp.StatusCode, resp.Reason}
	}
	return c.Tunnel(ctx)
}

// throughSOCKS connects to u through a SOCKS5 proxy.
func (d *Dialer) throughSOCKS(ctx context.Context, u *url.URL) (net.Conn, error) {
	nc, err := d.netDial(ctx, d.Proxy)
	if err != nil {
		return nil, err
	}
	var auth *proxy.Auth
	if d.Proxy.User != nil {
		auth = &proxy.Auth{User: d.Proxy.User.Username()}
		auth.Password, _ = d.Proxy.User.Password()
	}
	dialer, err := proxy.SOCKS5("tcp", hostPort(d.Proxy), auth, connected{nc})
	if err == nil {
		// What this returns is nc with another address: nc is better used itself.
		_, err = dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", hostPort(u))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// connected is a dialer that has dialled.
type connected struct{ nc net.Conn }

func (c connected) Dial(network, addr string) (net.Conn, error) { return c.nc, nil }

func (c connected) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return c.nc, nil
}
