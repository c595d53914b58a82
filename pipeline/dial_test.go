package pipeline

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// listening serves connections on loopback, each by a goroutine, until the test ends.
func listening(t *testing.T, handle func(nc net.Conn)) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			go func() {
				defer nc.Close()
				handle(nc)
			}()
		}
	}()
	return ln.Addr().String()
}

// relay passes octets on in both directions, until both ends have closed.
func relay(nc net.Conn, br io.Reader, onward net.Conn) {
	go func() {
		io.Copy(onward, br)
		onward.Close()
	}()
	io.Copy(nc, onward)
}

func echoTarget(req *http.Request, _ []byte) string {
	return ok(req.Method + " " + req.RequestURI + " " + req.Host + " " + req.Header.Get("Proxy-Authorization"))
}

// origins starts a plain origin and one with TLS.
func origins(t *testing.T) (plain, secure string, config *tls.Config) {
	clientConfig, serverConfig := pipetest.TLSConfigs()
	plain = listening(t, func(nc net.Conn) { serve(nc, echoTarget) })
	secure = listening(t, func(nc net.Conn) { serve(tls.Server(nc, serverConfig), echoTarget) })
	return plain, secure, clientConfig
}

func wantDialed(t *testing.T, d *Dialer, origin, want string) *Conn {
	t.Helper()
	c, err := d.Dial(bg(), origin)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	for range 2 {
		require.NoError(t, c.SendRequest(bg(), &Request{Target: "/x"}))
		wantResponse(t, c, "/x", 200, want)
	}
	return c
}

func TestDial(t *testing.T) {
	plain, secure, config := origins(t)
	wantDialed(t, &Dialer{}, "http://"+plain, "GET /x "+plain+" ")
	c := wantDialed(t, &Dialer{TLS: config}, "https://"+secure+"/ignored", "GET /x "+secure+" ")
	require.IsType(t, newLinkFor(t), c.link)
	c, err := Dial(bg(), "http://"+plain, &Options{Host: "other"})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
	wantResponse(t, c, "/", 200, "GET / other ")
}

// newLinkFor returns the link that TLS of our own making gets on this system.
func newLinkFor(t *testing.T) link {
	client, _ := tlsPair(t, false, TLSClient)
	c := NewConn(client, nil)
	t.Cleanup(func() { c.Close() })
	return c.link
}

func TestDialThroughHTTPProxy(t *testing.T) {
	plain, secure, config := origins(t)
	handle := func(nc net.Conn) {
		br := bufio.NewReader(nc)
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if req.Method != "CONNECT" {
			io.WriteString(nc, echoTarget(req, nil))
			serve(nc, echoTarget)
			return
		}
		if req.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			io.WriteString(nc, "HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
			return
		}
		onward, err := net.Dial("tcp", req.RequestURI)
		if err != nil {
			return
		}
		defer onward.Close()
		io.WriteString(nc, "HTTP/1.1 200 Connected\r\n\r\n")
		relay(nc, br, onward)
	}
	addr := listening(t, handle)
	_, serverConfig := pipetest.TLSConfigs()
	secureAddr := listening(t, func(nc net.Conn) { handle(tls.Server(nc, serverConfig)) })

	for _, proxy := range []*url.URL{
		{Scheme: "http", Host: addr, User: url.UserPassword("u", "p")},
		{Scheme: "https", Host: secureAddr, User: url.UserPassword("u", "p")},
	} {
		d := &Dialer{TLS: config, Proxy: proxy}
		wantDialed(t, d, "http://"+plain, "GET http://"+plain+"/x "+plain+" Basic dTpw")
		wantDialed(t, d, "https://"+secure, "GET /x "+secure+" ")
	}

	d := &Dialer{TLS: config, Proxy: &url.URL{Scheme: "http", Host: addr}}
	_, err := d.Dial(bg(), "https://"+secure)
	var refused *ProxyError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, ProxyError{407, "Who Are You"}, *refused)
}

func TestDialThroughSOCKS(t *testing.T) {
	plain, secure, config := origins(t)
	addr := listening(t, func(nc net.Conn) {
		// RFC 1928: no authentication, CONNECT to an IPv4 address.
		p := make([]byte, 10)
		if _, err := io.ReadFull(nc, p[:3]); err != nil {
			return
		}
		nc.Write([]byte{5, 0})
		if _, err := io.ReadFull(nc, p); err != nil {
			return
		}
		to := net.TCPAddr{IP: p[4:8], Port: int(p[8])<<8 | int(p[9])}
		onward, err := net.Dial("tcp", to.String())
		if err != nil {
			return
		}
		defer onward.Close()
		nc.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		relay(nc, nc, onward)
	})
	d := &Dialer{TLS: config, Proxy: &url.URL{Scheme: "socks5", Host: addr}}
	c := wantDialed(t, d, "http://"+plain, "GET /x "+plain+" ")
	require.IsType(t, &net.TCPConn{}, c.NetConn())
	wantDialed(t, d, "https://"+secure, "GET /x "+secure+" ")
}

func TestDialErrorsAreToldApart(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", Name: "nowhere.test", IsNotFound: true}
	unavailable := &net.DNSError{Err: "server misbehaving", Name: "nowhere.test", IsTemporary: true}
	failing := func(err error) *Dialer {
		return &Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}}
	}
	var dns *net.DNSError
	_, err := failing(notFound).Dial(bg(), "http://nowhere.test")
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
	require.False(t, IsTemporary(err))
	_, err = failing(unavailable).Dial(bg(), "http://nowhere.test")
	require.ErrorAs(t, err, &dns)
	require.True(t, IsTemporary(err))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	_, err = Dial(bg(), "http://"+ln.Addr().String(), nil)
	require.False(t, errors.As(err, &dns))
	require.True(t, IsTemporary(err))

	_, secure, _ := origins(t)
	_, err = Dial(bg(), "https://"+secure, nil)
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, err, &untrusted)
	require.False(t, IsTemporary(err))

	for _, origin := range []string{"", "example.com", "ftp://example.com", "http://", "http://a b"} {
		_, err := Dial(bg(), origin, nil)
		require.Error(t, err, origin)
	}
}
