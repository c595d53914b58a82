package httppipe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A countingDialer is a dial func that knows which of its connections are open,
// and that may lead every address to one place.
type countingDialer struct {
	to string // address to dial in place of any other, or ""

	mu     sync.Mutex
	dialed []string // addresses asked for
	open   int
	closed *sync.Cond // signaled when a connection is closed
}

func (d *countingDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.dialed = append(d.dialed, addr)
	d.mu.Unlock()
	if d.to != "" {
		addr = d.to
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return d.count(c), nil
}

// count returns c, counted as open until it is closed.
func (d *countingDialer) count(c net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return &countedConn{Conn: c, closing: sync.OnceFunc(d.closedOne)}
}

func (d *countingDialer) closedOne() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.closed != nil {
		d.closed.Broadcast()
	}
}

// waitOpen waits until n connections are open.
func (d *countingDialer) waitOpen(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed == nil {
		d.closed = sync.NewCond(&d.mu)
	}
	for d.open != n {
		d.closed.Wait()
	}
}

func (d *countingDialer) requireOpen(t *testing.T, n int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Equal(t, n, d.open, "open connections")
}

type countedConn struct {
	net.Conn
	closing func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closing()
	return err
}

// dialURL dials the route of a GET request for rawURL.
func dialURL(t *testing.T, tr *Transport, rawURL string) (*dialed, error) {
	t.Helper()
	return dialRequest(t.Context(), tr, newRequest(t, rawURL))
}

func dialRequest(ctx context.Context, tr *Transport, req *http.Request) (*dialed, error) {
	r, err := tr.routeFor(req)
	if err != nil {
		return nil, err
	}
	return tr.dialRoute(ctx, r, func() {})
}

func newRequest(t *testing.T, rawURL string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", rawURL, nil)
	require.NoError(t, err)
	return req
}

// exchange sends req on d.conn and returns the content of the answer.
func exchangeOver(t *testing.T, d *dialed, req *http.Request) string {
	t.Helper()
	require.Nil(t, d.alt)
	require.NotNil(t, d.conn)
	defer d.conn.Close()
	write := req.Write
	if req.URL.Scheme == "http" && d.proxyAuth != "" {
		req.Header.Set("Proxy-Authorization", d.proxyAuth)
		write = req.WriteProxy
	}
	require.NoError(t, write(d.conn))
	resp, err := http.ReadResponse(bufio.NewReader(d.conn), req)
	require.NoError(t, err)
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return content2status(resp, content)
}

func content2status(resp *http.Response, content []byte) string {
	if resp.StatusCode == http.StatusOK {
		return string(content)
	}
	return resp.Status
}

// origin answers with the protocol, host and path of the request.
func origin(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, r.Proto+" "+r.Host+r.URL.Path)
}

// startTLS starts an origin with TLS whose certificate is good for 127.0.0.1 and
// example.com, and returns a configuration that trusts it.
func startTLS(t *testing.T, h2 bool) (*httptest.Server, *tls.Config) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(origin))
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, trust(s)
}

func trust(s *httptest.Server) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

func startPlain(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(origin))
	t.Cleanup(s.Close)
	return s
}

func hostPort(s *httptest.Server) string { return s.Listener.Addr().String() }

func TestDialPlain(t *testing.T) {
	s := startPlain(t)
	d, err := dialURL(t, new(Transport), s.URL)
	require.NoError(t, err)
	require.Nil(t, d.tlsState)
	require.Empty(t, d.proxyAuth)
	require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/a", exchangeOver(t, d, newRequest(t, s.URL+"/a")))
}

func TestDialTLS(t *testing.T) {
	s, cfg := startTLS(t, false)
	d, err := dialURL(t, &Transport{TLSClientConfig: cfg}, s.URL)
	require.NoError(t, err)
	require.True(t, d.tlsState.HandshakeComplete)
	require.IsType(t, new(tls.Conn), d.conn)
	require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/a", exchangeOver(t, d, newRequest(t, s.URL+"/a")))
}

// The name that the certificate must be for is the origin's, unless the
// configuration names another.
func TestDialTLSServerName(t *testing.T) {
	s, cfg := startTLS(t, false)
	for _, tc := range []struct{ url, serverName, fails string }{
		{url: "https://example.com/"},
		{url: "https://example.com:8443/"},
		{url: "https://example.net/", fails: "example.net"},
		{url: "https://example.net/", serverName: "example.com"},
		{url: "https://example.com/", serverName: "example.net", fails: "example.net"},
	} {
		dialer := &countingDialer{to: hostPort(s)}
		tr := &Transport{DialContext: dialer.DialContext, TLSClientConfig: cfg.Clone()}
		tr.TLSClientConfig.ServerName = tc.serverName
		d, err := dialURL(t, tr, tc.url)
		if tc.fails == "" {
			require.NoError(t, err, "%v", tc)
			require.Equal(t, "example.com", d.tlsState.ServerName)
			d.conn.Close()
		} else {
			var wrong x509.HostnameError
			require.ErrorAs(t, err, &wrong, "%v", tc)
			require.Equal(t, tc.fails, wrong.Host)
		}
		dialer.requireOpen(t, 0)
	}
}

func TestDialTrace(t *testing.T) {
	s, cfg := startTLS(t, false)
	var events []string
	note := func(s string) { events = append(events, s) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:           func(string) { note("GetConn") },
		GotConn:           func(httptrace.GotConnInfo) { note("GotConn") },
		ConnectStart:      func(_, addr string) { note("ConnectStart") },
		ConnectDone:       func(_, addr string, err error) { note("ConnectDone") },
		TLSHandshakeStart: func() { note("TLSHandshakeStart") },
		TLSHandshakeDone: func(cs tls.ConnectionState, err error) {
			if cs.HandshakeComplete != (err == nil) {
				t.Errorf("state complete: %v, error %v", cs.HandshakeComplete, err)
			}
			note("TLSHandshakeDone")
		},
	})
	want := []string{"ConnectStart", "ConnectDone", "TLSHandshakeStart", "TLSHandshakeDone"}

	d, err := dialRequest(ctx, &Transport{TLSClientConfig: cfg}, newRequest(t, s.URL))
	require.NoError(t, err)
	d.conn.Close()
	require.Equal(t, want, events)

	events = nil // and when the handshake fails
	_, err = dialRequest(ctx, new(Transport), newRequest(t, s.URL))
	require.Error(t, err)
	require.Equal(t, want, events)

	events = nil // and when HTTP/2 begins
	h2, cfg := startTLS(t, true)
	tr := &Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	d, err = dialRequest(ctx, tr, newRequest(t, h2.URL))
	require.NoError(t, err)
	d.alt.closeIdle()
	require.Equal(t, want, events)
}

// Which dial func is used for what.
func TestDialFuncs(t *testing.T) {
	type ctxFunc = func(context.Context, string, string) (net.Conn, error)
	used := ""
	withCtx := func(name string) ctxFunc {
		return func(_ context.Context, network, addr string) (net.Conn, error) {
			used = name + " " + network + " " + addr
			return nil, errors.New("refused")
		}
	}
	without := func(name string) func(string, string) (net.Conn, error) {
		return func(network, addr string) (net.Conn, error) {
			return withCtx(name)(nil, network, addr)
		}
	}
	all := Transport{
		DialContext: withCtx("DialContext"), Dial: without("Dial"),
		DialTLSContext: withCtx("DialTLSContext"), DialTLS: without("DialTLS"),
	}
	for _, tc := range []struct {
		url, proxy, want string
		edit             func(*Transport)
	}{
		{url: "http://h/", want: "DialContext tcp h:80"},
		{url: "http://h/", want: "Dial tcp h:80", edit: func(t *Transport) { t.DialContext = nil }},
		{url: "https://h/", want: "DialTLSContext tcp h:443"},
		{url: "https://h/", want: "DialTLS tcp h:443", edit: func(t *Transport) { t.DialTLSContext = nil }},
		{url: "https://h/", want: "DialContext tcp h:443", edit: func(t *Transport) { t.DialTLSContext, t.DialTLS = nil, nil }},
		{url: "https://h/", proxy: "http://p", want: "DialContext tcp p:80"},
		{url: "https://h/", proxy: "https://p", want: "DialTLSContext tcp p:443"},
		{url: "http://h/", proxy: "https://p:1", want: "DialTLSContext tcp p:1"},
		{url: "https://h/", proxy: "socks5://p", want: "DialContext tcp p:1080"},
		{url: "https://h/", proxy: "socks5h://p:9", want: "DialContext tcp p:9"},
	} {
		tr := all.Clone()
		if tc.edit != nil {
			tc.edit(tr)
		}
		tr.Proxy = proxyTo(t, tc.proxy)
		used = ""
		_, err := dialURL(t, tr, tc.url)
		require.ErrorContains(t, err, "refused")
		require.Equal(t, tc.want, used, "%s via %q", tc.url, tc.proxy)
	}
}

func proxyTo(t *testing.T, rawURL string) func(*http.Request) (*url.URL, error) {
	if rawURL == "" {
		return nil
	}
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	return http.ProxyURL(u)
}

func TestDialFuncThatReturnsNothing(t *testing.T) {
	nothing := func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	tr := &Transport{DialContext: nothing, DialTLSContext: nothing}
	for _, u := range []string{"http://h/", "https://h/"} {
		_, err := dialURL(t, tr, u)
		require.ErrorContains(t, err, "(nil, nil)")
	}
}

// A DialTLS func may leave the handshake to us, or return a type of its own.
func TestDialTLSFuncResults(t *testing.T) {
	s, cfg := startTLS(t, false)
	cfg.ServerName = "example.com"
	dialer := new(countingDialer)
	var wrap func(*tls.Conn) net.Conn
	tr := &Transport{
		TLSClientConfig: &tls.Config{ServerName: "must not be used"},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrap(tls.Client(c, cfg)), nil
		},
	}
	want := "HTTP/1.1 " + hostPort(s) + "/"

	wrap = func(c *tls.Conn) net.Conn { return c }
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.True(t, d.tlsState.HandshakeComplete)
	require.Equal(t, want, exchangeOver(t, d, newRequest(t, s.URL+"/")))

	wrap = func(c *tls.Conn) net.Conn { return struct{ net.Conn }{c} }
	d, err = dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.Nil(t, d.tlsState)
	require.Equal(t, want, exchangeOver(t, d, newRequest(t, s.URL+"/")))
	dialer.requireOpen(t, 0)

	cfg.ServerName = "example.net"
	wrap = func(c *tls.Conn) net.Conn { return c }
	_, err = dialURL(t, tr, s.URL)
	require.ErrorAs(t, err, new(x509.HostnameError))
	dialer.requireOpen(t, 0)
}

func TestDialErrors(t *testing.T) {
	plain := startPlain(t)
	secure, _ := startTLS(t, false)
	closed := httptest.NewServer(nil)
	closed.Close()
	dialer := new(countingDialer)
	tr := &Transport{DialContext: dialer.DialContext}

	_, err := dialURL(t, tr, closed.URL)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	_, err = dialURL(t, tr, secure.URL)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))

	_, err = dialURL(t, tr, "https://"+hostPort(plain))
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	require.EqualError(t, err, "http: server gave HTTP response to HTTPS client")
	require.ErrorAs(t, err, new(tls.RecordHeaderError))

	dialer.requireOpen(t, 0)
}

func TestDialUnresolvableHost(t *testing.T) {
	tr := &Transport{DialContext: (&net.Dialer{Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		},
	}}).DialContext}
	_, err := dialURL(t, tr, "http://host.invalid/")
	require.ErrorAs(t, err, new(*net.DNSError))
}

// A pipeDialer is a dial func that ends in the test: peer gets the other end.
// Inside a synctest bubble, whatever it leaves behind fails the test.
func pipeDialer(peer func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			peer(far)
		}()
		return near, nil
	}
}

// deaf reads and never answers, until its peer has closed the connection.
func deaf(c net.Conn) { io.Copy(io.Discard, c) }

func TestTLSHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{DialContext: pipeDialer(deaf), TLSHandshakeTimeout: 10 * time.Second}
		start := time.Now()
		_, err := dialURL(t, tr, "https://h/")
		require.Equal(t, 10*time.Second, time.Since(start))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.EqualError(t, err, "net/http: TLS handshake timeout")
	})
}

// A cancelled dial returns the context's error, and leaves neither a goroutine
// (synctest would complain) nor a connection (its peer would not end).
func TestDialCancelled(t *testing.T) {
	readThen := func(octets string) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 512))
			io.WriteString(c, octets)
			deaf(c)
		}
	}
	for _, tc := range []struct {
		name, url, proxy string
		peer             func(net.Conn)
		text             string // of the error, if not the context's
	}{
		{name: "TLS", url: "https://h/", peer: deaf},
		{name: "TLS to a proxy", url: "http://h/", proxy: "https://p", peer: deaf},
		{name: "CONNECT unanswered", url: "https://h/", proxy: "http://p", peer: deaf},
		{name: "CONNECT unread", url: "https://h/", proxy: "http://p", peer: waitClosed},
		{name: "CONNECT half answered", url: "https://h/", proxy: "http://p", peer: readThen("HTTP/1.1 200")},
		{name: "TLS in a tunnel", url: "https://h/", proxy: "http://p", peer: readThen("HTTP/1.1 200 OK\r\n\r\n")},
		{name: "SOCKS greeting", url: "http://h/", proxy: "socks5://p", peer: deaf, text: "timeout"},
		{name: "SOCKS request", url: "http://h/", proxy: "socks5://p", peer: readThen("\x05\x00"), text: "timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &Transport{DialContext: pipeDialer(tc.peer), Proxy: proxyTo(t, tc.proxy)}
				ctx, cancel := context.WithCancel(t.Context())
				result := make(chan error)
				go func() {
					_, err := dialRequest(ctx, tr, newRequest(t, tc.url))
					result <- err
				}()
				synctest.Wait()
				select {
				case err := <-result:
					t.Fatalf("returned %v before it was cancelled", err)
				default:
				}
				cancel()
				err := <-result
				if tc.text != "" { // of package socks
					require.ErrorContains(t, err, tc.text)
				} else {
					require.ErrorIs(t, err, context.Canceled)
				}
			})
		})
	}
}

// waitClosed returns when the peer of a pipe has closed it, without reading.
func waitClosed(c net.Conn) {
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			return
		}
	}
}

func TestDialCancelledWhileDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		tr := &Transport{DialContext: hang, DialTLSContext: hang}
		for _, u := range []string{"http://h/", "https://h/"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := dialRequest(ctx, tr, newRequest(t, u))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
	})
}

// The error of whatever goes wrong before a request can be sent must read, and
// nest, as in net/http.
func TestDialErrorsAsNetHTTP(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	plain := startPlain(t)
	secure, cfg := startTLS(t, false)
	notSOCKS := serve(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	const answering = "one that gives this answer"
	for _, tc := range []struct {
		name, url, proxy string
		answer           string
		cfg              *tls.Config
	}{
		{name: "refused", url: dead.URL},
		{name: "no such port", url: "http://127.0.0.1:99999/"},
		{name: "unknown authority", url: secure.URL},
		{name: "wrong name", url: secure.URL, cfg: &tls.Config{RootCAs: cfg.RootCAs, ServerName: "x.test"}},
		{name: "proxy refused", url: "http://h/", proxy: dead.URL},
		{name: "proxy refused, https", url: "https://h/", proxy: dead.URL},
		{name: "proxy unknown authority", url: "http://h/", proxy: secure.URL},
		{name: "socks refused", url: "http://h/", proxy: "socks5://" + hostPort(dead)},
		{name: "socks is http", url: "http://h/", proxy: "socks5://" + notSOCKS},
		{name: "proxy is plain", url: "http://h/", proxy: "https://" + hostPort(plain)},
		{name: "407", url: "https://h/", proxy: answering, answer: "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"},
		{name: "204 is not 200", url: "https://h/", proxy: answering, answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "garbage", url: "https://h/", proxy: answering, answer: "SSH-2.0-x\r\n\r\n"},
		{name: "closed", url: "https://h/", proxy: answering, answer: ""},
		{name: "cut", url: "https://h/", proxy: answering, answer: "HTTP/1.1 200 OK\r\nA: b"},
		{name: "too long", url: "https://h/", proxy: answering, answer: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 5000) + "\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := tc.proxy
			if proxy == answering {
				proxy = "http://" + answerCONNECT(t, tc.answer)
			}
			dialer := new(countingDialer)
			theirs := &http.Transport{
				Proxy: proxyTo(t, proxy), DialContext: dialer.DialContext, TLSClientConfig: tc.cfg,
				MaxResponseHeaderBytes: 4096,
			}
			_, want := theirs.RoundTrip(newRequest(t, tc.url))
			require.Error(t, want)
			_, got := dialURL(t, FromHTTP(theirs), tc.url)
			require.Error(t, got)
			require.Equal(t, withoutPorts(want), withoutPorts(got))
			require.Equal(t, types(want), types(got))
			dialer.requireOpen(t, 0)
		})
	}
}

// types returns the types of the errors in the chain of err.
func types(err error) (list []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		list = append(list, strings.TrimPrefix(typeName(err), "*"))
	}
	return slices.DeleteFunc(list, func(s string) bool {
		return strings.Contains(s, "socks") // bundled by net/http under other names
	})
}
