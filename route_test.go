package httppipe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is dialed for a URL must be what net/http dials.
func TestRouteAddrAsNetHTTP(t *testing.T) {
	for _, u := range []string{
		"http://example.com/", "http://example.com:8080/", "https://example.com", "https://example.com:443/",
		"http://EXAMPLE.com:80/", "http://127.0.0.1/", "http://127.0.0.1:81/",
		"http://[::1]/", "http://[::1]:8080/", "http://[fe80::1%25en0]:80/", "http://[fe80::1%25en0]/",
		"http://example.com:/", "http://[::1]:/",
		"http://bücher.example/", "http://bücher.example:81/", "https://BÜCHER.example/", "http://münchen。example/",
		"http://xn--bcher-kva.example:80/", "http://a_b.example/", "http://%E2%98%83.net/",
	} {
		want := ""
		theirs := &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			want = addr
			return nil, errors.New("no")
		}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
		req, err := http.NewRequest("GET", u, nil)
		require.NoError(t, err, u)
		theirs.RoundTrip(req)
		require.NotEmpty(t, want)
		r, err := new(Transport).routeFor(req)
		require.NoError(t, err)
		require.Equal(t, want, r.addr, u)
	}
}

// Hosts that no URL parser makes, but a program may put together.
func TestCanonicalAddrOfOddHosts(t *testing.T) {
	for _, host := range []string{"::1:80", "[foo]:80", "[::1", "[::1]]:80", "a:b:80", "h:", "h:80a", "[]:80", "[a]b:80", "]:80"} {
		u := &url.URL{Scheme: "http", Host: host}
		port := u.Port()
		if port == "" {
			port = "80"
		}
		require.Equal(t, net.JoinHostPort(u.Hostname(), port), canonicalAddr(u), host)
	}
}

func TestRouteForAllocates(t *testing.T) {
	tr := new(Transport)
	proxied := &Transport{Proxy: proxyTo(t, "http://user:secret@proxy.example:3128")}
	for _, tc := range []struct {
		tr   *Transport
		url  string
		want float64
	}{
		{tr, "http://example.com:80/", 0},
		{tr, "https://[::1]:8443/", 0},
		{tr, "http://example.com/", 1},
		{proxied, "http://example.com:80/", 0},
	} {
		req := newRequest(t, tc.url)
		var key routeKey
		got := testing.AllocsPerRun(100, func() {
			r, err := tc.tr.routeFor(req)
			if err != nil {
				t.Error(err)
			}
			key = r.key()
		})
		require.NotZero(t, key)
		require.LessOrEqual(t, got, tc.want, tc.url)
	}
}

func BenchmarkRouteFor(b *testing.B) {
	for _, u := range []string{"http://example.com/", "http://example.com:8080/"} {
		b.Run(u, func(b *testing.B) {
			tr := &Transport{Proxy: http.ProxyFromEnvironment}
			req, _ := http.NewRequest("GET", u, nil)
			b.ReportAllocs()
			for b.Loop() {
				r, _ := tr.routeFor(req)
				_ = r.key()
			}
		})
	}
}

// Requests share connections exactly if these keys are equal.
func TestRouteKeys(t *testing.T) {
	type via struct {
		url, proxy string
		upgrade    bool
	}
	key := func(v via) routeKey {
		req := newRequest(t, v.url)
		if v.upgrade {
			req.Header.Set("Connection", "keep-alive, Upgrade")
			req.Header.Set("Upgrade", "WebSocket")
		}
		r, err := (&Transport{Proxy: proxyTo(t, v.proxy)}).routeFor(req)
		require.NoError(t, err)
		return r.key()
	}
	for _, tc := range []struct {
		a, b via
		same bool
	}{
		{via{url: "http://h/a"}, via{url: "http://h:80/b"}, true},
		{via{url: "https://h/a"}, via{url: "https://h:443/b"}, true},
		{via{url: "http://h/"}, via{url: "https://h:80/"}, false},
		{via{url: "http://h/"}, via{url: "http://i/"}, false},
		{via{url: "https://h/"}, via{url: "https://h/", upgrade: true}, false},
		{via{url: "http://h/"}, via{url: "http://h/", proxy: "http://p"}, false},
		{via{url: "http://h/", proxy: "http://p"}, via{url: "http://i/", proxy: "http://p"}, true},
		{via{url: "http://h/", proxy: "https://p"}, via{url: "http://i/", proxy: "https://p"}, true},
		{via{url: "http://h/", proxy: "http://p"}, via{url: "http://h/", proxy: "http://q"}, false},
		{via{url: "http://h/", proxy: "http://a:b@p"}, via{url: "http://h/", proxy: "http://a:c@p"}, false},
		{via{url: "http://h/", proxy: "http://p"}, via{url: "https://h/", proxy: "http://p"}, false},
		{via{url: "https://h/", proxy: "http://p"}, via{url: "https://i/", proxy: "http://p"}, false},
		{via{url: "http://h/", proxy: "socks5://p"}, via{url: "http://i/", proxy: "socks5://p"}, false},
	} {
		require.Equal(t, tc.same, key(tc.a) == key(tc.b), "%v and %v", tc.a, tc.b)
	}
}

func TestRouteForProxyError(t *testing.T) {
	bad := errors.New("no proxy today")
	tr := &Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, bad }}
	_, err := tr.routeFor(newRequest(t, "http://h/"))
	require.Equal(t, bad, err)
}

// A Proxy func may change the URL that it returned before.
func TestProxyNameFollowsTheURL(t *testing.T) {
	u := &url.URL{Scheme: "http", Host: "p"}
	tr := &Transport{Proxy: http.ProxyURL(u)}
	first, err := tr.routeFor(newRequest(t, "http://h/"))
	require.NoError(t, err)
	u.Host = "q"
	second, err := tr.routeFor(newRequest(t, "http://h/"))
	require.NoError(t, err)
	require.NotEqual(t, first.key(), second.key())
}

func TestRouteTo(t *testing.T) {
	var asked []string
	tr := &Transport{Proxy: func(req *http.Request) (*url.URL, error) {
		asked = append(asked, req.URL.String())
		return nil, nil
	}}
	for _, tc := range []struct{ scheme, address, addr string }{
		{"http", "h:", "h:80"}, {"https", "h:443", "h:443"}, {"https", "[::1]:8443", "[::1]:8443"}, {"http", "[::1]:80", "[::1]:80"},
	} {
		r, err := tr.routeTo(t.Context(), tc.scheme, tc.address)
		require.NoError(t, err)
		require.Equal(t, route{scheme: tc.scheme, addr: tc.addr}, r)
	}
	require.Equal(t, []string{"http://h/", "https://h/", "https://[::1]:8443/", "http://[::1]/"}, asked)
	for _, bad := range []struct{ scheme, address string }{{"ftp", "h:1"}, {"http", "h"}} {
		_, err := tr.routeTo(t.Context(), bad.scheme, bad.address)
		require.Error(t, err)
	}
}

func TestRegisterProtocol(t *testing.T) {
	files, other := http.NewFileTransport(nil), http.NewFileTransport(nil)
	tr := new(Transport)
	require.Nil(t, tr.alternateRoundTripper(newRequest(t, "file:///x")))
	tr.RegisterProtocol("file", files)
	tr.RegisterProtocol("https", other)
	require.Equal(t, files, tr.alternateRoundTripper(newRequest(t, "file:///x")))
	require.Equal(t, other, tr.alternateRoundTripper(newRequest(t, "https://h/")))
	require.Nil(t, tr.alternateRoundTripper(newRequest(t, "http://h/")))
	require.PanicsWithValue(t, "protocol file already registered", func() { tr.RegisterProtocol("file", other) })

	socket := newRequest(t, "https://h/")
	socket.Header.Set("Connection", "Upgrade")
	socket.Header.Set("Upgrade", "websocket")
	require.Nil(t, tr.alternateRoundTripper(socket))
}
