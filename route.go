package httppipe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// A route says what a connection leads to: an origin, a proxy, or an origin
// behind a proxy. It is a value, and nothing in it is changed once it is made.
type route struct {
	proxyURL  *url.URL // nil for none; never changed through this pointer
	proxyName string   // proxyURL as a string, "" for none
	scheme    string   // of the origin: "http" or "https"
	addr      string   // of the origin: "host:port", never without a port
	onlyH1    bool     // do not offer HTTP/2
}

// A routeKey identifies the connections that may serve each other's requests.
// Requests for different http origins through one HTTP proxy have the same key.
type routeKey struct {
	proxy, scheme, addr string
	onlyH1              bool
}

// routeFor returns the route of req, whose URL must be http or https and have a
// host. It asks Transport.Proxy, and returns its error unchanged.
//
// It runs once per request: without a proxy it allocates only to append a
// default port to the host.
func (t *Transport) routeFor(req *http.Request) (route, error) {
	r := route{
		scheme: req.URL.Scheme,
		addr:   canonicalAddr(req.URL),
		onlyH1: requiresHTTP1(req),
	}
	return r, t.setProxy(&r, req)
}

// routeTo returns the route to address ("host:port", a missing port means the
// scheme's) for a connection that is wanted without a request.
func (t *Transport) routeTo(ctx context.Context, scheme, address string) (route, error) {
	if scheme != "http" && scheme != "https" {
		return route{}, fmt.Errorf("httppipe: invalid scheme %q", scheme)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return route{}, err
	}
	if port == "" {
		port = schemePort(scheme)
	}
	r := route{scheme: scheme, addr: net.JoinHostPort(host, port)}
	// Proxy looks at requests, so it gets one with the URL that a request
	// for address would have: a default port is left out.
	u := &url.URL{Scheme: scheme, Host: r.addr, Path: "/"}
	if port == schemePort(scheme) {
		u.Host = strings.TrimSuffix(r.addr, ":"+port)
	}
	req := (&http.Request{
		Method: "GET", URL: u, Host: u.Host, Body: http.NoBody, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	return r, t.setProxy(&r, req)
}

// setProxy adds the proxy for req to r.
func (t *Transport) setProxy(r *route, req *http.Request) error {
	if t.Proxy == nil {
		return nil
	}
	u, err := t.Proxy(req)
	if err != nil || u == nil {
		return err
	}
	r.proxyURL, r.proxyName = u, t.proxyName(u)
	return nil
}

// viaHTTPProxy reports whether requests go to an HTTP proxy as they are: with
// the absolute form of the target (RFC 9112, Section 3.2.2), and with the
// proxy's credentials on each of them.
func (r route) viaHTTPProxy() bool {
	return r.proxyURL != nil && r.scheme == "http" && !isSOCKS(r.proxyURL)
}

// key returns what r has in common with the routes that can share connections.
func (r route) key() routeKey {
	k := routeKey{proxy: r.proxyName, scheme: r.scheme, addr: r.addr, onlyH1: r.onlyH1}
	if r.viaHTTPProxy() {
		k.addr = "" // the connection ends at the proxy
	}
	return k
}

// firstHop returns the scheme and "host:port" of what is dialed: the proxy's if
// there is one.
func (r route) firstHop() (scheme, addr string) {
	if r.proxyURL == nil {
		return r.scheme, r.addr
	}
	u := *r.proxyURL
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	return u.Scheme, canonicalAddr(&u)
}

// A proxyString remembers the string form of a proxy's URL, because making it
// costs several allocations and almost always it is the one made last.
type proxyString struct {
	url url.URL
	str string
}

// proxyName returns u.String().
func (t *Transport) proxyName(u *url.URL) string {
	// Compared by value: nothing keeps a Proxy func from changing its URL.
	if last := t.proxyStr.Load(); last != nil && last.url == *u {
		return last.str
	}
	made := &proxyString{url: *u, str: u.String()}
	t.proxyStr.Store(made)
	return made.str
}

// canonicalAddr returns the host of u in ASCII with its port, or the port of
// its scheme. It returns u.Host itself if that is in the right form already.
func canonicalAddr(u *url.URL) string {
	if hasCanonicalHost(u.Host) {
		return u.Host
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = schemePort(u.Scheme)
	}
	return net.JoinHostPort(toASCII(host), port)
}

// hasCanonicalHost reports whether hostport, from a parsed URL, is what
// [net.JoinHostPort] would make of its parts: an ASCII name or IPv4 address, or
// an IPv6 address in brackets, then a colon and a port.
func hasCanonicalHost(hostport string) bool {
	colon := strings.LastIndexByte(hostport, ':')
	if colon < 0 || !isPort(hostport[colon+1:]) {
		return false
	}
	host := hostport[:colon]
	bracketed := strings.HasPrefix(host, "[")
	if bracketed {
		if len(host) < 2 || !strings.HasSuffix(host, "]") {
			return false
		}
		host = host[1 : len(host)-1]
	}
	hasColon := false
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 0x80, c == '[', c == ']':
			return false
		case c == ':':
			hasColon = true
		}
	}
	return hasColon == bracketed
}

func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// toASCII returns the form of host that DNS knows. Like net/http it leaves
// ASCII alone, and also what cannot be converted: looking it up will fail.
func toASCII(host string) string {
	if isASCII(host) {
		return host
	}
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		return a
	}
	return host
}

// schemePort returns the default port of a scheme of an origin or proxy.
func schemePort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	case "socks5", "socks5h":
		return "1080"
	}
	return ""
}
