package httppipe_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/httppipe/httppipe"
)

// A traceLog records the hooks that are called.
type traceLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *traceLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, addresses.ReplaceAllString(fmt.Sprintf(format, args...), "ADDR"))
}

// trace has all hooks recorded.
func (l *traceLog) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(hostPort string) { l.add("GetConn %s", hostPort) },
		GotConn: func(i httptrace.GotConnInfo) {
			l.add("GotConn conn=%v reused=%v idle=%v", i.Conn != nil, i.Reused, i.WasIdle)
		},
		PutIdleConn:          func(err error) { l.add("PutIdleConn %v", err != nil) },
		GotFirstResponseByte: func() { l.add("GotFirstResponseByte") },
		Got100Continue:       func() { l.add("Got100Continue") },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			l.add("Got1xxResponse %d %v", code, h)
			return nil
		},
		ConnectStart:      func(network, addr string) { l.add("ConnectStart %s %s", network, addr) },
		ConnectDone:       func(network, addr string, err error) { l.add("ConnectDone %s %s %v", network, addr, err) },
		TLSHandshakeStart: func() { l.add("TLSHandshakeStart") },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { l.add("TLSHandshakeDone") },
		WroteHeaderField:  func(name string, values []string) { l.add("WroteHeaderField %s %q", name, values) },
		WroteHeaders:      func() { l.add("WroteHeaders") },
		Wait100Continue:   func() { l.add("Wait100Continue") },
		WroteRequest:      func(i httptrace.WroteRequestInfo) { l.add("WroteRequest %v", i.Err) },
	}
}

// traceOf returns the hooks that a script's requests call. What happens on the way
// to a response is in one order; that something was sent, or put back, is told
// independently of that by net/http, and so is left to a place of its own.
func traceOf(t *testing.T, s *rawScript, rt http.RoundTripper) (order, apart []string) {
	o := newScriptedOrigin(t, s.replies)
	for _, make := range s.requests {
		var l traceLog
		req := make("http://" + o.Addr().String())
		resp, err := rt.RoundTrip(req.WithContext(httptrace.WithClientTrace(context.Background(), l.trace())))
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		l.mu.Lock()
		for _, line := range append(l.lines, "end") {
			if strings.HasPrefix(line, "WroteRequest") || strings.HasPrefix(line, "PutIdleConn") {
				apart = append(apart, line)
			} else {
				order = append(order, line)
			}
		}
		l.mu.Unlock()
	}
	rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	return order, apart
}

func TestTracesLookTheSameAsWithHTTPTransport(t *testing.T) {
	scripts := []rawScript{
		{name: "two GETs", replies: []string{ok, ok}, requests: []func(string) *http.Request{getting("/1"), getting("/2")}},
		sending("POST", withMethod("POST", "/", inMemory("content")), ok),
		sending("POST of a stream", withMethod("POST", "/", counted("content")), ok),
		sending("fields", withMethod("GET", "/", nil, havingField("X-B", "2"), func(r *http.Request) { r.Header["X-A"] = []string{"1", "2"} }), ok),
		sending("close", withMethod("GET", "/", nil, func(r *http.Request) { r.Close = true }), ok),
		sending("chunked", getting("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		sending("in pieces", getting("/"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"+pause+"k"),
		sending("interim responses", getting("/"), "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok),
		sending("interim responses, one by one", getting("/"), "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"+pause+"HTTP/1.1 100 Continue\r\n\r\n"+pause+ok),
		sending("HEAD", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
		sending("204", getting("/"), "HTTP/1.1 204 No Content\r\n\r\n"),
		sending("says close", getting("/"), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
	}
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			wantOrder, wantApart := traceOf(t, &s, new(http.Transport))
			gotOrder, gotApart := traceOf(t, &s, new(httppipe.Transport))
			sameLines(t, "trace", wantOrder, gotOrder)
			sameLines(t, "trace apart", wantApart, gotApart)
		})
	}
}

var errFromHook = errors.New("the hook says no")

func TestErrorOf1xxHookEndsTheRequest(t *testing.T) {
	for name, rt := range map[string]http.RoundTripper{"http.Transport": new(http.Transport), "httppipe": new(httppipe.Transport)} {
		t.Run(name, func(t *testing.T) {
			o := newScriptedOrigin(t, []string{"HTTP/1.1 103 Early Hints\r\n\r\n" + pause + ok})
			req := getting("/")("http://" + o.Addr().String())
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				Got1xxResponse: func(int, textproto.MIMEHeader) error { return errFromHook },
			})
			_, err := rt.RoundTrip(req.WithContext(ctx))
			if !errors.Is(err, errFromHook) {
				t.Errorf("error %v", err)
			}
			if want := "net/http: HTTP/1.x transport connection broken: the hook says no"; err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		})
	}
}
