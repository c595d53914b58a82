package httppipe

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	for _, f := range set {
		f(p, true)
	}
	return p
}

var (
	http1 = (*http.Protocols).SetHTTP1
	h2tls = (*http.Protocols).SetHTTP2
	h2c   = (*http.Protocols).SetUnencryptedHTTP2
)

type nextProtoFuncs = map[string]func(string, *tls.Conn) http.RoundTripper

// An h2Case is one combination of the fields on which HTTP/2 depends.
type h2Case struct {
	t        http.Transport
	ownHTTPS bool // RegisterProtocol("https", ...)
}

// everyH2Case calls f with a func for each combination, which makes it anew each
// time that it is called.
func everyH2Case(f func(make func() *h2Case)) {
	dial := func(context.Context, string, string) (net.Conn, error) { panic("dialed") }
	dialTLS := func(string, string) (net.Conn, error) { panic("dialed") }
	null := func(string, *tls.Conn) http.RoundTripper { return nil }
	offer := func(protos ...string) func(*h2Case) {
		return func(c *h2Case) { c.t.TLSClientConfig = &tls.Config{NextProtos: protos} }
	}
	speak := func(set ...func(*http.Protocols, bool)) func(*h2Case) {
		return func(c *h2Case) { c.t.Protocols = protocols(set...) }
	}
	default_ := func(*h2Case) {}
	fields := [][]func(*h2Case){
		{default_, func(c *h2Case) { c.t.ForceAttemptHTTP2 = true }},
		{default_, offer(), offer("foo"), offer("http/1.1", "foo"), offer("http/1.1", "h2")},
		{
			default_,
			func(c *h2Case) { c.t.DialContext = dial },
			func(c *h2Case) { c.t.DialTLS = dialTLS }, //lint:ignore SA1019 it must work
		},
		{
			default_,
			func(c *h2Case) { c.t.TLSNextProto = nextProtoFuncs{} },
			func(c *h2Case) { c.t.TLSNextProto = nextProtoFuncs{"foo": null} },
			func(c *h2Case) { c.t.TLSNextProto = nextProtoFuncs{"h2": null} },
		},
		{
			default_, speak(), speak(http1), speak(h2tls), speak(h2c), speak(http1, h2tls),
			speak(http1, h2c), speak(h2tls, h2c), speak(http1, h2tls, h2c),
		},
		{default_, func(c *h2Case) { c.ownHTTPS = true }},
	}
	var choose func(rest [][]func(*h2Case), chosen []func(*h2Case))
	choose = func(rest [][]func(*h2Case), chosen []func(*h2Case)) {
		if len(rest) > 0 {
			for _, set := range rest[0] {
				choose(rest[1:], append(chosen[:len(chosen):len(chosen)], set))
			}
			return
		}
		f(func() *h2Case {
			c := new(h2Case)
			for _, set := range chosen {
				set(c)
			}
			return c
		})
	}
	choose(fields, nil)
}

// What is offered by ALPN, and whether HTTP/2 is ours to do, must be as in
// net/http for every combination of the fields that it depends on.
func TestHTTP2AsNetHTTP(t *testing.T) {
	log.SetOutput(io.Discard) // net/http complains about ownHTTPS
	defer log.SetOutput(log.Default().Writer())
	for _, godebug := range []string{"", "http2client=0"} {
		t.Setenv("GODEBUG", godebug)
		n := 0
		everyH2Case(func(make func() *h2Case) {
			n++
			theirs := make()
			ours := fromHTTPFields(&make().t) // not FromHTTP: that lets net/http decide
			if theirs.ownHTTPS {
				theirs.t.RegisterProtocol("https", http.NewFileTransport(nil))
				ours.RegisterProtocol("https", http.NewFileTransport(nil))
			}
			requireSameHTTP2(t, ours, &theirs.t)
			_, builtin := theirs.t.TLSNextProto[protoUnencryptedHTTP2]
			require.Equal(t, builtin, ours.http2().builtin)
		})
		require.Equal(t, 2*5*3*4*9*2, n)
	}
}

func TestHTTP2OnlyH1Route(t *testing.T) {
	s, cfg := startTLS(t, true)
	tr := &Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	req := newRequest(t, s.URL+"/")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	d, err := dialRequest(t.Context(), tr, req)
	require.NoError(t, err)
	require.Empty(t, d.tlsState.NegotiatedProtocol)
	require.Equal(t, "HTTP/1.1 "+hostPort(s)+"/", exchangeOver(t, d, newRequest(t, s.URL+"/")))
}

// fetch sends a GET request and returns the content of its answer.
func fetch(t *testing.T, rt http.RoundTripper, rawURL string) string {
	t.Helper()
	resp, err := rt.RoundTrip(newRequest(t, rawURL))
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return content2status(resp, content)
}

func TestHTTP2OverTLS(t *testing.T) {
	s, cfg := startTLS(t, true)
	dialer := new(countingDialer)
	byHook := new(countingDialer)
	for name, tr := range map[string]*Transport{
		"ours": {TLSClientConfig: cfg, DialContext: dialer.DialContext, Protocols: protocols(http1, h2tls)},
		"DialTLSContext": {ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := byHook.DialContext(ctx, network, addr)
			cfg := cfg.Clone()
			cfg.ServerName, cfg.NextProtos = "example.com", []string{"h2"}
			return tls.Client(c, cfg), err
		}},
	} {
		d, err := dialURL(t, tr, s.URL)
		require.NoError(t, err, name)
		require.Nil(t, d.conn)
		require.False(t, d.shared)
		require.Equal(t, "h2", d.tlsState.NegotiatedProtocol)
		resp, err := d.alt.RoundTrip(newRequest(t, s.URL+"/a"))
		require.NoError(t, err)
		require.Equal(t, "HTTP/2.0", resp.Proto)
		require.True(t, resp.TLS.HandshakeComplete)
		resp.Body.Close()
		tr.CloseIdleConnections()
	}
	dialer.waitOpen(0)
	byHook.waitOpen(0)
}

// startH2C starts an origin that speaks nothing but HTTP/2 without TLS.
func startH2C(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = protocols(h2c)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestHTTP2WithPriorKnowledge(t *testing.T) {
	s := startH2C(t, origin)
	dialer := new(countingDialer)
	tr := &Transport{Protocols: protocols(h2c), DialContext: dialer.DialContext}
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.Nil(t, d.tlsState)
	require.Equal(t, "HTTP/2.0 "+hostPort(s)+"/a", fetch(t, d.alt, s.URL+"/a"))
	tr.CloseIdleConnections()
	dialer.waitOpen(0)

	// Only without HTTP/1.1 in the set.
	plain := startPlain(t)
	d, err = dialURL(t, &Transport{Protocols: protocols(http1, h2c)}, plain.URL)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 "+hostPort(plain)+"/", exchangeOver(t, d, newRequest(t, plain.URL+"/")))
}

func TestHTTP2CallersWhoMeetShareOneConnection(t *testing.T) {
	s, cfg := startTLS(t, true)
	var mu sync.Mutex
	from := make(map[string]int)
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr]++
		mu.Unlock()
	})
	dialer := new(countingDialer)
	tr := &Transport{TLSClientConfig: cfg, DialContext: dialer.DialContext, ForceAttemptHTTP2: true}
	const callers = 20
	var wg sync.WaitGroup
	var notShared int
	for range callers {
		wg.Go(func() {
			d, err := dialURL(t, tr, s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			fetch(t, d.alt, s.URL)
			mu.Lock()
			defer mu.Unlock()
			if !d.shared {
				notShared++
			}
		})
	}
	wg.Wait()
	require.Len(t, from, 1)
	require.Equal(t, 1, notShared)
	dialer.waitOpen(1)
	tr.CloseIdleConnections()
	dialer.waitOpen(0)
	require.Eventually(t, func() bool { return !tr.alts.some.Load() }, 10*time.Second, time.Millisecond)
}

func TestHTTP2DeadConnectionIsReplaced(t *testing.T) {
	s, cfg := startTLS(t, true)
	tr := &Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	first, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	fetch(t, first.alt, s.URL)
	key := route{scheme: "https", addr: hostPort(s)}.key()
	require.Equal(t, first.alt, tr.alts.get(key))

	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	first.alt.watch(func() { // it is told of other things, too
		if first.alt.ended() {
			end()
		}
	})
	s.CloseClientConnections()
	<-ended
	require.False(t, first.alt.usable())
	require.Nil(t, tr.alts.get(key))
	requireUntouched(t, first.alt, s.URL)

	second, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.False(t, second.shared)
	fetch(t, second.alt, s.URL)
	tr.CloseIdleConnections()
}

// requireUntouched requires that alt refuses a request before it is sent.
func requireUntouched(t *testing.T, alt altConn, rawURL string) {
	t.Helper()
	_, err := alt.RoundTrip(newRequest(t, rawURL))
	var unprocessed *unprocessedError
	require.ErrorAs(t, err, &unprocessed)
	require.True(t, unprocessed.untouched)
}

func TestHTTP2CloseIdleSparesRequests(t *testing.T) {
	arrived, answer, finish := make(chan bool), make(chan bool), make(chan bool)
	s := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-answer
		w.(http.Flusher).Flush()
		<-finish
		io.WriteString(w, "late")
	})
	dialer := new(countingDialer)
	tr := &Transport{Protocols: protocols(h2c), DialContext: dialer.DialContext}
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	got := make(chan *http.Response)
	go func() {
		resp, err := d.alt.RoundTrip(newRequest(t, s.URL))
		if err != nil {
			t.Error(err)
		}
		got <- resp
	}()
	<-arrived
	tr.CloseIdleConnections()
	require.True(t, d.alt.usable(), "a request is unanswered")
	answer <- true
	resp := <-got
	tr.CloseIdleConnections()
	require.True(t, d.alt.usable(), "an answer is unread")
	finish <- true
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "late", string(content))
	dialer.waitOpen(0) // by the second CloseIdleConnections: no request came between
	require.True(t, d.alt.ended())
	require.False(t, d.alt.usable())
	requireUntouched(t, d.alt, s.URL)
}

// CloseIdleConnections concerns the connections that are idle then, or next, and
// not one that has got something to do since.
func TestHTTP2CloseIdleIsForgottenByTheNextRequest(t *testing.T) {
	arrived, answer := make(chan bool), make(chan bool)
	s := startH2C(t, func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-answer
	})
	c := dialH2(t, s.URL, nil)
	var wg sync.WaitGroup
	request := func() {
		wg.Go(func() { fetch(t, c, s.URL) })
		<-arrived
	}
	request()
	c.closeIdle()
	request()
	answer <- true
	answer <- true
	wg.Wait()
	require.Eventually(t, func() bool { return c.cc.InFlight() == 0 }, 10*time.Second, time.Millisecond)
	require.True(t, c.usable())
}

// A writeHook is a connection that calls a func before its first Write.
type writeHook struct {
	net.Conn
	before func()
}

func (c writeHook) Write(b []byte) (int, error) {
	c.before()
	return c.Conn.Write(b)
}

// Two dials that both begin HTTP/2, because neither is done when the other looks.
func TestHTTP2LaterOfTwoConnectionsIsClosed(t *testing.T) {
	s := startH2C(t, origin)
	dialer := new(countingDialer)
	tr := &Transport{Protocols: protocols(h2c), DialContext: dialer.DialContext}
	var earlier *dialed
	meanwhile := sync.OnceFunc(func() {
		var err error
		tr.DialContext = dialer.DialContext
		earlier, err = dialURL(t, tr, s.URL)
		require.NoError(t, err)
	})
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		return writeHook{c, meanwhile}, err
	}
	later, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.False(t, earlier.shared)
	require.True(t, later.shared)
	require.True(t, earlier.alt == later.alt)
	dialer.waitOpen(1)
	fetch(t, later.alt, s.URL)
	tr.CloseIdleConnections()
	dialer.waitOpen(0)
}

func TestHTTP2IdleConnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := make(chan net.Conn)
		server := &http.Server{Handler: http.HandlerFunc(origin), Protocols: protocols(h2c)}
		served := make(chan error)
		go func() { served <- server.Serve(chanListener{conns, make(chan struct{})}) }()
		tr := &Transport{
			Protocols:       protocols(h2c),
			IdleConnTimeout: 90 * time.Second,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				conns <- far
				return near, nil
			},
		}
		d, err := dialURL(t, tr, "http://h/")
		require.NoError(t, err)
		require.Equal(t, "HTTP/2.0 h/a", fetch(t, d.alt, "http://h/a"))
		time.Sleep(89 * time.Second)
		require.True(t, d.alt.usable())
		fetch(t, d.alt, "http://h/a")
		time.Sleep(89 * time.Second)
		require.True(t, d.alt.usable())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.True(t, d.alt.ended())
		require.Empty(t, tr.alts.conns)
		server.Close()
		<-served
	})
}

// A chanListener accepts the connections that it is sent.
type chanListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l chanListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l chanListener) Close() error   { close(l.closed); return nil }
func (l chanListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestHTTP2DisableKeepAlives(t *testing.T) {
	s := startH2C(t, origin)
	dialer := new(countingDialer)
	tr := &Transport{Protocols: protocols(h2c), DialContext: dialer.DialContext, DisableKeepAlives: true}
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.True(t, d.alt.usable())
	require.Nil(t, tr.alts.get(route{scheme: "http", addr: hostPort(s)}.key()))
	fetch(t, d.alt, s.URL)
	require.False(t, d.alt.usable())
	requireUntouched(t, d.alt, s.URL)
	dialer.waitOpen(0)
}

func TestHTTP2CancelledWhileItWritesThePreface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{Protocols: protocols(h2c), DialContext: pipeDialer(waitClosed)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := dialRequest(ctx, tr, newRequest(t, "http://h/"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, tr.alts.conns)
	})
}

func TestHTTP2Trace(t *testing.T) {
	s := startH2C(t, origin)
	d, err := dialURL(t, &Transport{Protocols: protocols(h2c)}, s.URL)
	require.NoError(t, err)
	var got []httptrace.GotConnInfo
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { t.Error("GetConn is the pool's") },
		GotConn: func(info httptrace.GotConnInfo) { got = append(got, info) },
	})
	for range 2 {
		resp, err := d.alt.RoundTrip(newRequest(t, s.URL).WithContext(ctx))
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	require.Len(t, got, 2)
	require.False(t, got[0].Reused)
	require.NotNil(t, got[0].Conn)
	require.True(t, got[1].Reused)
	require.Less(t, got[1].IdleTime, time.Hour)
}

// An HTTP/2 connection that has ended before anybody watches it is not counted, and
// whoever waits gets it, and with it the reason.
func TestHTTP2ConnectionThatEndedUnwatched(t *testing.T) {
	p := (&Transport{}).place(routeKey{})
	defer p.mu.Unlock()
	alt := &protoConn{}
	alt.over.Store(true)
	x := &exchange{out: &outgoing{}, waiting: true}
	x.call.Wake = make(chan struct{}, 1)
	p.alone.push(x)
	p.switchTo(&dialed{alt: alt})
	if p.total() != 0 || x.alt != altConn(alt) || x.waiting {
		t.Errorf("%d connections, alt %v, waiting %v", p.total(), x.alt, x.waiting)
	}
}
