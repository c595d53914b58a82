package httppipe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var quiet = log.New(io.Discard, "", 0)

func typeName(v any) string { return fmt.Sprintf("%T", v) }

var localPort = regexp.MustCompile(`127\.0\.0\.1:\d+(->|: read)`)

// withoutPorts returns the text of err without what differs between two runs.
func withoutPorts(err error) string { return localPort.ReplaceAllString(err.Error(), "") }

// A testProxy is an HTTP proxy. It forwards requests in absolute form, makes
// tunnels, and wants the password "secret" if asked to.
type testProxy struct {
	*httptest.Server
	secured bool

	mu  sync.Mutex
	saw []string // request lines
	got http.Header
}

func startProxy(t *testing.T, secured, withTLS bool) *testProxy {
	p := &testProxy{secured: secured}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = quiet
	p.EnableHTTP2 = withTLS // it would take HTTP/2, and it must not get it
	if withTLS {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// url returns the proxy's URL with the given userinfo.
func (p *testProxy) url(userinfo string) string {
	scheme, host, _ := strings.Cut(p.URL, "://")
	if userinfo != "" {
		host = userinfo + "@" + host
	}
	return scheme + "://" + host
}

func (p *testProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.saw = append(p.saw, r.Method+" "+r.RequestURI+" "+r.Proto)
	p.got = r.Header
	p.mu.Unlock()
	_, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	switch {
	case p.secured && password != "secret":
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == "CONNECT":
		p.tunnel(w, r.Host)
	case !r.URL.IsAbs():
		w.WriteHeader(http.StatusBadRequest)
	default:
		p.forward(w, r)
	}
}

func (p *testProxy) tunnel(w http.ResponseWriter, addr string) {
	out, err := net.Dial("tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	in, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		out.Close()
		return
	}
	io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	splice(in, out)
}

func (p *testProxy) forward(w http.ResponseWriter, r *http.Request) {
	r.RequestURI = ""
	resp, err := new(http.Transport).RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

// splice copies between a and b until one of them ends, and closes both.
func splice(a, b net.Conn) {
	go func() {
		defer b.Close()
		io.Copy(b, a)
	}()
	defer a.Close()
	io.Copy(a, b)
}

// answerCONNECT starts a proxy that gives one answer to whatever it is asked, and
// returns its address.
func answerCONNECT(t *testing.T, answer string) string {
	return serve(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, answer)
	})
}

// serve runs handle for each connection, closes it then, and returns an address.
func serve(t *testing.T, handle func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxyPlainRequest(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		s, p := startPlain(t), startProxy(t, true, withTLS)
		tr := &Transport{Proxy: proxyTo(t, p.url("us%2Fer:secret"))}
		if withTLS {
			tr.TLSClientConfig = trust(p.Server)
			tr.ForceAttemptHTTP2 = true
		}
		d, err := dialURL(t, tr, s.URL)
		require.NoError(t, err)
		require.Equal(t, withTLS, d.tlsState != nil)
		require.Equal(t, "Basic dXMvZXI6c2VjcmV0", d.proxyAuth)
		require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/a", exchangeOver(t, d, newRequest(t, s.URL+"/a")))
		require.Equal(t, []string{"GET " + s.URL + "/a HTTP/1.1"}, p.saw)
	}
}

func TestProxyTunnel(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		for _, h2 := range []bool{false, true} {
			s, cfg := startTLS(t, h2)
			p := startProxy(t, true, withTLS)
			cfg.RootCAs.AddCert(s.Certificate())
			if withTLS {
				cfg.RootCAs.AddCert(p.Certificate())
			}
			dialer := new(countingDialer)
			tr := &Transport{
				Proxy:             proxyTo(t, p.url("user:secret")),
				DialContext:       dialer.DialContext,
				TLSClientConfig:   cfg,
				ForceAttemptHTTP2: true,
			}
			d, err := dialURL(t, tr, s.URL)
			require.NoError(t, err)
			require.NotNil(t, d.tlsState)
			require.Empty(t, d.proxyAuth, "the tunnel needs it, requests do not")
			if h2 {
				resp, err := d.alt.RoundTrip(newRequest(t, s.URL+"/a"))
				require.NoError(t, err)
				content, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "HTTP/2.0 "+hostPort(s)+"/a", string(content))
				d.alt.closeIdle()
			} else {
				require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/a", exchangeOver(t, d, newRequest(t, s.URL+"/a")))
			}
			require.Equal(t, []string{"CONNECT " + hostPort(s) + " HTTP/1.1"}, p.saw)
			dialer.waitOpen(0)
		}
	}
}

// How long the way to the origin is shows when it is open: not with a proxy that is sent
// the requests themselves, which may be near.
func TestDialTellsWhenTheOriginIsReached(t *testing.T) {
	plain, p := startPlain(t), startProxy(t, true, false)
	secure, cfg := startTLS(t, false)
	proxied := proxyTo(t, p.url("user:secret"))
	for _, test := range []struct {
		tr      *Transport
		url     string
		reached int
	}{
		{new(Transport), plain.URL, 1},
		{&Transport{TLSClientConfig: cfg}, secure.URL, 1},
		{&Transport{Proxy: proxied, TLSClientConfig: cfg}, secure.URL, 1},
		{&Transport{Proxy: proxied}, plain.URL, 0},
	} {
		r, err := test.tr.routeFor(newRequest(t, test.url))
		require.NoError(t, err)
		reached := 0
		d, err := test.tr.dialRoute(t.Context(), r, func() { reached++ })
		require.NoError(t, err)
		d.conn.Close()
		require.Equal(t, test.reached, reached, r)
	}
}

func TestProxyTunnelTracesBothHandshakes(t *testing.T) {
	s, cfg := startTLS(t, false)
	p := startProxy(t, false, true)
	cfg.RootCAs.AddCert(p.Certificate())
	handshakes := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(tls.ConnectionState, error) { handshakes++ },
	})
	tr := &Transport{Proxy: proxyTo(t, p.URL), TLSClientConfig: cfg}
	d, err := dialRequest(ctx, tr, newRequest(t, s.URL))
	require.NoError(t, err)
	d.conn.Close()
	require.Equal(t, 2, handshakes)
}

func TestProxyRefusesTunnel(t *testing.T) {
	s, cfg := startTLS(t, false)
	p := startProxy(t, true, false)
	dialer := new(countingDialer)
	tr := &Transport{Proxy: proxyTo(t, p.url("user:wrong")), DialContext: dialer.DialContext, TLSClientConfig: cfg}
	_, err := dialURL(t, tr, s.URL)
	require.EqualError(t, err, "Proxy Authentication Required")
	dialer.requireOpen(t, 0)
}

func TestProxyAnswersWithoutReason(t *testing.T) {
	tr := &Transport{Proxy: proxyTo(t, "http://"+answerCONNECT(t, "HTTP/1.1 503\r\n\r\n"))}
	_, err := dialURL(t, tr, "https://h/")
	require.EqualError(t, err, "unknown status code") // as in net/http
}

func TestProxyConnectHeaders(t *testing.T) {
	s, cfg := startTLS(t, false)
	p := startProxy(t, false, false)
	static := http.Header{"X-Static": {"1"}}
	tr := &Transport{Proxy: proxyTo(t, p.url("user:secret")), TLSClientConfig: cfg, ProxyConnectHeader: static}

	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	d.conn.Close()
	require.Equal(t, "1", p.got.Get("X-Static"))
	require.Equal(t, "Basic dXNlcjpzZWNyZXQ=", p.got.Get("Proxy-Authorization"))
	require.Equal(t, http.Header{"X-Static": {"1"}}, static, "the user's header was changed")

	tr.GetProxyConnectHeader = func(_ context.Context, u *url.URL, target string) (http.Header, error) {
		require.Equal(t, hostPort(s), target)
		require.Equal(t, "user", u.User.Username())
		return http.Header{"X-Dynamic": {"2"}}, nil
	}
	d, err = dialURL(t, tr, s.URL)
	require.NoError(t, err)
	d.conn.Close()
	require.Equal(t, "2", p.got.Get("X-Dynamic"))
	require.Empty(t, p.got.Get("X-Static"))

	bad := errors.New("no ticket")
	tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, bad }
	dialer := new(countingDialer)
	tr.DialContext = dialer.DialContext
	_, err = dialURL(t, tr, s.URL)
	require.Equal(t, bad, err)
	dialer.requireOpen(t, 0)
}

func TestOnProxyConnectResponse(t *testing.T) {
	s, cfg := startTLS(t, false)
	p := startProxy(t, true, false)
	var status int
	var fail error
	dialer := new(countingDialer)
	tr := &Transport{
		DialContext:     dialer.DialContext,
		TLSClientConfig: cfg,
		OnProxyConnectResponse: func(_ context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
			require.Equal(t, hostPort(p.Server), u.Host)
			require.Equal(t, "CONNECT", req.Method)
			require.Equal(t, hostPort(s), req.Host)
			status = resp.StatusCode
			return fail
		},
	}
	tr.Proxy = proxyTo(t, p.url("user:secret"))
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	d.conn.Close()

	fail = errors.New("do not like it")
	_, err = dialURL(t, tr, s.URL)
	require.Equal(t, fail, err)

	tr.Proxy = proxyTo(t, p.URL)
	_, err = dialURL(t, tr, s.URL)
	require.Equal(t, fail, err, "comes before the check of the status")
	require.Equal(t, 407, status)
	dialer.requireOpen(t, 0)
}

func TestProxyConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{Proxy: proxyTo(t, "http://p"), DialContext: pipeDialer(deaf)}
		start := time.Now()
		_, err := dialURL(t, tr, "https://h/")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestProxyWithoutScheme(t *testing.T) {
	s, p := startPlain(t), startProxy(t, false, false)
	tr := &Transport{Proxy: http.ProxyURL(&url.URL{Host: hostPort(p.Server), User: url.User("u")})}
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/", exchangeOver(t, d, newRequest(t, s.URL+"/")))

	_, addr := route{proxyURL: &url.URL{Host: "p"}, scheme: "http"}.firstHop()
	require.Equal(t, "p:80", addr)
}

// A SOCKS proxy for one user, or for everybody if user is "".
type socksProxy struct {
	user, password string
	reply          byte // what it answers in place of connecting, unless 0

	mu     sync.Mutex
	target string // the last one asked for
}

// handle speaks RFC 1928 and RFC 1929.
func (s *socksProxy) handle(c net.Conn) {
	target, err := s.negotiate(c)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.target = target
	s.mu.Unlock()
	reply := []byte{5, s.reply, 0, 1, 127, 0, 0, 1, 0, 80}
	if s.reply != 0 {
		c.Write(reply)
		return
	}
	_, port, _ := net.SplitHostPort(target)
	out, err := net.Dial("tcp", "127.0.0.1:"+port) // it knows every name
	if err != nil {
		return
	}
	c.Write(reply)
	splice(c, out)
}

func (s *socksProxy) negotiate(c net.Conn) (target string, err error) {
	head := read(c, 2)
	methods := read(c, int(head[1]))
	if s.user == "" {
		c.Write([]byte{5, 0})
	} else {
		if !strings.Contains(string(methods), "\x02") {
			c.Write([]byte{5, 0xff})
			return "", io.EOF
		}
		c.Write([]byte{5, 2})
		user := read(c, int(read(c, 2)[1]))
		password := read(c, int(read(c, 1)[0]))
		if string(user) != s.user || string(password) != s.password {
			c.Write([]byte{1, 1})
			return "", io.EOF
		}
		c.Write([]byte{1, 0})
	}
	var host string
	switch head = read(c, 4); head[3] {
	case 1:
		host = net.IP(read(c, 4)).String()
	case 3:
		host = string(read(c, int(read(c, 1)[0])))
	default:
		return "", io.EOF
	}
	port := read(c, 2)
	return net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))), nil
}

// read returns n octets, zeros if they do not come.
func read(c net.Conn, n int) []byte {
	b := make([]byte, n)
	io.ReadFull(c, b)
	return b
}

func TestSOCKS(t *testing.T) {
	plain := startPlain(t)
	secure, cfg := startTLS(t, false)
	for _, scheme := range []string{"socks5", "socks5h"} {
		for _, auth := range []string{"", "user:secret@"} {
			s := new(socksProxy)
			if auth != "" {
				s.user, s.password = "user", "secret"
			}
			dialer := new(countingDialer)
			tr := &Transport{
				Proxy:           proxyTo(t, scheme+"://"+auth+serve(t, s.handle)),
				DialContext:     dialer.DialContext,
				TLSClientConfig: cfg,
			}
			for _, server := range []*httptest.Server{plain, secure} {
				u := strings.Replace(server.URL, "127.0.0.1", "example.com", 1)
				d, err := dialURL(t, tr, u)
				require.NoError(t, err)
				require.Empty(t, d.proxyAuth)
				require.Equal(t, server == secure, d.tlsState != nil)
				host := strings.SplitAfter(u, "//")[1]
				require.Equal(t, host, s.target, "the proxy resolves names")
				require.Equal(t, "HTTP/1.1 "+host+"/a", exchangeOver(t, d, newRequest(t, u+"/a")))
			}
			dialer.requireOpen(t, 0)
		}
	}
}

func TestSOCKSFailures(t *testing.T) {
	plain := startPlain(t)
	for _, tc := range []struct {
		proxy *socksProxy
		auth  string
		want  string
	}{
		{&socksProxy{user: "user", password: "secret"}, "user:wrong@", "authentication failed"},
		{&socksProxy{user: "user", password: "secret"}, "", "no acceptable authentication methods"},
		{&socksProxy{reply: 5}, "", "connection refused"},
	} {
		dialer := new(countingDialer)
		theirs := &http.Transport{
			Proxy:       proxyTo(t, "socks5://"+tc.auth+serve(t, tc.proxy.handle)),
			DialContext: dialer.DialContext,
		}
		_, err := dialURL(t, FromHTTP(theirs), plain.URL)
		require.ErrorContains(t, err, tc.want)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "socks connect", op.Op)
		_, want := theirs.RoundTrip(newRequest(t, plain.URL))
		require.EqualError(t, err, want.Error(), "net/http's")
		dialer.requireOpen(t, 0)
	}
}
