package httppipe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

func TestAltTableTakesNothingThatHasEnded(t *testing.T) {
	var table altTable
	var key routeKey
	c := new(protoConn)
	c.over.Store(true)
	require.True(t, table.addIfNone(key, c) == c)
	require.Empty(t, table.conns)
}

// A closingBody knows whether it was closed.
type closingBody struct {
	io.Reader
	closed bool
}

func (b *closingBody) Close() error { b.closed = true; return nil }

func TestNextAltAttempt(t *testing.T) {
	cause := errors.New("refused")
	refused := &unprocessedError{err: cause}
	post := func(body io.ReadCloser) *http.Request {
		req := newRequest(t, "http://h/")
		req.Body = body
		return req
	}
	get := newRequest(t, "http://h/")

	for name, tc := range map[string]struct {
		req     *http.Request
		err     error
		attempt int
		want    error // nil: the same request again
	}{
		"other error":      {get, cause, 0, cause},
		"no content":       {get, refused, 0, nil},
		"NoBody":           {post(http.NoBody), refused, 0, nil},
		"content used":     {post(&closingBody{}), refused, 0, cause},
		"content intact":   {post(&closingBody{}), &unprocessedError{err: cause, untouched: true}, 0, nil},
		"content unread":   {post(&closingBody{}), &unprocessedError{err: cause, untouched: true}, 99, nil},
		"too often":        {get, refused, maxAltAttempts, cause},
		"wrapped by users": {get, errors.Join(refused), 0, nil},
	} {
		again, err := nextAltAttempt(tc.req, tc.err, tc.attempt)
		if tc.want != nil {
			require.ErrorIs(t, err, tc.want, name)
			require.Nil(t, again, name)
		} else {
			require.NoError(t, err, name)
			require.True(t, again == tc.req, name)
		}
	}

	req := post(&closingBody{})
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("again")), nil }
	again, err := nextAltAttempt(req, refused, 0)
	require.NoError(t, err)
	content, err := io.ReadAll(again.Body)
	require.NoError(t, err)
	require.Equal(t, "again", string(content))
	require.False(t, again == req)

	req.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrNoProgress }
	_, err = nextAltAttempt(req, refused, 0)
	require.Equal(t, io.ErrNoProgress, err)
}

func TestNextAltAttemptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &unprocessedError{err: errors.New("refused")}
		want := []time.Duration{0, 1, 2, 4, 8, 16}
		for attempt, pause := range want {
			start := time.Now()
			_, err := nextAltAttempt(newRequest(t, "http://h/"), refused, attempt)
			require.NoError(t, err)
			waited := time.Since(start)
			require.GreaterOrEqual(t, waited, pause*time.Second)
			require.LessOrEqual(t, waited, pause*time.Second*11/10)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		second := &closingBody{}
		req := newRequest(t, "http://h/").WithContext(ctx)
		req.Body = &closingBody{}
		req.GetBody = func() (io.ReadCloser, error) { return second, nil }
		_, err := nextAltAttempt(req, refused, 5)
		require.Equal(t, context.DeadlineExceeded, err)
		require.True(t, second.closed)
	})
}

// A fakeProto is what a TLSNextProto func of a user may return.
type fakeProto struct {
	err        error
	closedIdle int
}

func (p *fakeProto) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 299}, p.err
}
func (p *fakeProto) CloseIdleConnections() { p.closedIdle++ }

// A failedProto reports its failure as net/http's HTTP/2 does.
type failedProto struct {
	http.RoundTripper
	err error
}

func (p failedProto) RoundTripErr() error { return p.err }

type noConnError struct{}

func (noConnError) Error() string             { return "no connection" }
func (noConnError) IsHTTP2NoCachedConnError() {}

// startFoo starts a TLS server that agrees on the protocol "foo", and returns a
// Transport that hands its connections to next.
func startFoo(t *testing.T, next func(string, *tls.Conn) http.RoundTripper) (tr *Transport, url string, dialer *countingDialer) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = quiet
	s.TLS = &tls.Config{NextProtos: []string{"foo"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"foo": func(_ *http.Server, c *tls.Conn, _ http.Handler) { deaf(c) },
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := trust(s)
	cfg.NextProtos = []string{"foo"}
	dialer = new(countingDialer)
	return &Transport{
		TLSClientConfig: cfg,
		TLSNextProto:    nextProtoFuncs{"foo": next},
		DialContext:     dialer.DialContext,
	}, s.URL, dialer
}

func TestTLSNextProto(t *testing.T) {
	proto := new(fakeProto)
	var authority string
	tr, url, dialer := startFoo(t, func(addr string, c *tls.Conn) http.RoundTripper {
		authority = addr
		require.Equal(t, "foo", c.ConnectionState().NegotiatedProtocol)
		t.Cleanup(func() { c.Close() })
		return proto
	})
	d, err := dialURL(t, tr, url)
	require.NoError(t, err)
	require.Equal(t, strings.TrimPrefix(url, "https://"), authority)
	require.Nil(t, d.conn)
	resp, err := d.alt.RoundTrip(newRequest(t, url))
	require.NoError(t, err)
	require.Equal(t, 299, resp.StatusCode)
	key := route{scheme: "https", addr: authority}.key()
	require.Equal(t, d.alt, tr.alts.get(key))
	tr.CloseIdleConnections()
	require.Equal(t, 1, proto.closedIdle)
	dialer.requireOpen(t, 1)

	proto.err = errors.New("any other error")
	_, err = d.alt.RoundTrip(newRequest(t, url))
	require.Equal(t, proto.err, err)
	require.True(t, d.alt.usable())

	watched := 0
	d.alt.watch(func() { watched++ })
	proto.err = noConnError{}
	requireUntouched(t, d.alt, url)
	require.False(t, d.alt.usable())
	require.True(t, d.alt.ended())
	require.Equal(t, 1, watched)
	require.Empty(t, tr.alts.conns)

	tr.DisableKeepAlives = true
	_, err = dialURL(t, tr, url)
	require.NoError(t, err)
	require.Empty(t, tr.alts.conns)
}

func TestTLSNextProtoFailures(t *testing.T) {
	bad := errors.New("bad")
	tr, url, dialer := startFoo(t, func(_ string, c *tls.Conn) http.RoundTripper {
		c.Close()
		return failedProto{err: bad}
	})
	_, err := dialURL(t, tr, url)
	require.Equal(t, bad, err)

	tr.TLSNextProto["foo"] = func(string, *tls.Conn) http.RoundTripper { return nil }
	_, err = dialURL(t, tr, url)
	require.ErrorContains(t, err, "returned nil")
	dialer.requireOpen(t, 0)

	delete(tr.TLSNextProto, "foo") // then it is taken for HTTP/1.1
	d, err := dialURL(t, tr, url)
	require.NoError(t, err)
	d.conn.Close()
}

func TestUnencryptedHTTP2ByTLSNextProto(t *testing.T) {
	s := startH2C(t, origin)
	dialer := new(countingDialer)
	tr := &Transport{
		Protocols:    protocols(h2c),
		DialContext:  dialer.DialContext,
		TLSNextProto: nextProtoFuncs{"h2": func(string, *tls.Conn) http.RoundTripper { panic("called") }},
	}
	_, err := dialURL(t, tr, s.URL)
	require.ErrorContains(t, err, "does not support unencrypted HTTP/2")
	dialer.requireOpen(t, 0)

	tr.TLSNextProto[protoUnencryptedHTTP2] = func(_ string, c *tls.Conn) http.RoundTripper {
		c.NetConn().(interface{ UnencryptedNetConn() net.Conn }).UnencryptedNetConn().Close()
		return new(fakeProto)
	}
	d, err := dialURL(t, tr, s.URL)
	require.NoError(t, err)
	require.NotNil(t, d.alt)
	dialer.requireOpen(t, 0)
}

// An http.Transport on which x/net's HTTP/2 was installed keeps it.
func TestFromHTTPWithHTTP2OfXNet(t *testing.T) {
	secure, cfg := startTLS(t, true)
	plain := startH2C(t, origin)
	for _, s := range []*httptest.Server{secure, plain} {
		src := &http.Transport{TLSClientConfig: cfg.Clone()}
		require.NoError(t, http2.ConfigureTransport(src)) //lint:ignore SA1019 others still do it
		if s == plain {
			src.Protocols = protocols(h2c)
		}
		tr := FromHTTP(src)
		d, err := dialURL(t, tr, s.URL)
		require.NoError(t, err)
		require.IsType(t, new(protoConn), d.alt)
		require.Equal(t, "HTTP/2.0 "+hostPort(s)+"/a", fetch(t, d.alt, s.URL+"/a"))
		if s == plain {
			continue // there is no way to reach the connection
		}
		tr.CloseIdleConnections()
		require.Eventually(t, func() bool {
			_, err := d.alt.RoundTrip(newRequest(t, s.URL))
			return errors.As(err, new(*unprocessedError))
		}, 10*time.Second, time.Millisecond)
		require.True(t, d.alt.ended())
	}
}
