package httppipe_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/httppipe/httppipe"
)

var errOwnCause = errors.New("a cause of my own")

// stage is how far a request has come when it is canceled.
type stage struct {
	name  string
	reply string // what the origin sends; the cancel comes once it has, or has got the request
	body  bool   // the cancel comes when the response is there, while its content is read
}

var stages = []stage{
	{name: "before the response", reply: doHang},
	{name: "in the head", reply: "HTTP/1.1 200 OK\r\n" + doHang},
	{name: "after an interim response", reply: "HTTP/1.1 103 Early Hints\r\n\r\n" + doHang},
	{name: "in the content", reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" + doHang, body: true},
	{name: "in a chunk", reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf" + doHang, body: true},
	{name: "in content without end", reply: "HTTP/1.1 200 OK\r\n\r\nhalf" + doHang, body: true},
}

// ways to end a request. Each returns the request, and what ends it.
var ways = map[string]func(rt http.RoundTripper, req *http.Request) (*http.Request, func()){
	"context": func(_ http.RoundTripper, req *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithCancel(context.Background())
		return req.WithContext(ctx), cancel
	},
	"cause": func(_ http.RoundTripper, req *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithCancelCause(context.Background())
		return req.WithContext(ctx), func() { cancel(errOwnCause) }
	},
	"deadline": func(_ http.RoundTripper, req *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		return req.WithContext(ctx), func() { <-ctx.Done(); cancel() }
	},
	"Cancel": func(_ http.RoundTripper, req *http.Request) (*http.Request, func()) {
		ch := make(chan struct{})
		req.Cancel = ch //lint:ignore SA1019 it is supported
		return req, func() { close(ch) }
	},
	"CancelRequest": func(rt http.RoundTripper, req *http.Request) (*http.Request, func()) {
		return req, func() { rt.(interface{ CancelRequest(*http.Request) }).CancelRequest(req) }
	},
}

// canceled returns the error that a request gets when it is ended at s.
func (s stage) canceled(t *testing.T, rt http.RoundTripper, way func(http.RoundTripper, *http.Request) (*http.Request, func())) error {
	o := newScriptedOrigin(t, []string{s.reply})
	req, cancel := way(rt, withMethod("GET", "/", nil)("http://"+o.Addr().String()))
	if !s.body {
		go func() {
			for {
				o.mu.Lock()
				arrived := len(o.seen) > 0
				o.mu.Unlock()
				if arrived {
					break
				}
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
	}
	resp, err := rt.RoundTrip(req)
	if err == nil {
		if !s.body {
			t.Fatal("no error")
		}
		half := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, half); err != nil {
			t.Fatal(err)
		}
		go cancel()
		_, err = resp.Body.Read(half)
		resp.Body.Close()
		return err
	}
	return err
}

func TestCanceledRequestsFailAsWithHTTPTransport(t *testing.T) {
	for name, way := range ways {
		for _, s := range stages {
			t.Run(name+" "+s.name, func(t *testing.T) {
				t.Parallel()
				theirs, ours := new(http.Transport), new(httppipe.Transport)
				defer theirs.CloseIdleConnections()
				defer ours.CloseIdleConnections()
				want, got := s.canceled(t, theirs, way), s.canceled(t, ours, way)
				if describeError(want) != describeError(got) {
					t.Errorf("error:\n http.Transport: %s\n httppipe:       %s", describeError(want), describeError(got))
				}
			})
		}
	}
}

// TestCanceledDialFailsAsWithHTTPTransport cancels a request whose connection is not
// there yet.
func TestCanceledDialFailsAsWithHTTPTransport(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			run := func(rt http.RoundTripper, dialing, over chan struct{}) error {
				req, cancel := way(rt, withMethod("POST", "/", counted("x"))("http://a.example"))
				go func() {
					<-dialing
					cancel()
				}()
				_, err := rt.RoundTrip(req)
				close(over)
				if n := req.Body.(*closeCounter).n; n != 1 {
					t.Errorf("the body was closed %d times", n)
				}
				return err
			}
			dial := func(dialing, over chan struct{}) func(context.Context, string, string) (net.Conn, error) {
				return func(context.Context, string, string) (net.Conn, error) {
					close(dialing)
					<-over
					return nil, errors.New("too late")
				}
			}
			dialing, over := make(chan struct{}), make(chan struct{})
			want := run(&http.Transport{DialContext: dial(dialing, over)}, dialing, over)
			dialing, over = make(chan struct{}), make(chan struct{})
			got := run(&httppipe.Transport{DialContext: dial(dialing, over)}, dialing, over)
			if describeError(want) != describeError(got) {
				t.Errorf("error:\n http.Transport: %s\n httppipe:       %s", describeError(want), describeError(got))
			}
		})
	}
}

// TestClientTimeoutIsNamedInTheError needs the help of the Transport: http.Client
// races a timer of its own against the request's context.
func TestClientTimeoutIsNamedInTheError(t *testing.T) {
	for range 20 {
		for name, reply := range map[string]string{
			"awaiting headers": doHang,
			"reading body":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" + doHang,
		} {
			o := newScriptedOrigin(t, []string{reply})
			tr := new(httppipe.Transport)
			client := &http.Client{Transport: tr, Timeout: 15 * time.Millisecond}
			resp, err := client.Get("http://" + o.Addr().String())
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() || !strings.Contains(err.Error(), "Client.Timeout") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v", name, err)
			}
			tr.CloseIdleConnections()
		}
	}
}

// TestCONNECTWithContentGoesBothWays sends content through a tunnel, as a reply to
// what comes out of it.
func TestCONNECTWithContentGoesBothWays(t *testing.T) {
	for name, rt := range map[string]http.RoundTripper{"http.Transport": new(http.Transport), "httppipe": new(httppipe.Transport)} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				br := bufio.NewReader(conn)
				http.ReadRequest(br)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				for {
					line, err := br.ReadString('\n')
					if err != nil {
						return
					}
					io.WriteString(conn, strings.ToUpper(line))
				}
			}()
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("CONNECT", "http://"+l.Addr().String(), pr)
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(resp.Body)
			for _, line := range []string{"hello\n", "again\n"} {
				io.WriteString(pw, line)
				if got, err := answers.ReadString('\n'); err != nil || got != strings.ToUpper(line) {
					t.Errorf("got %q, %v", got, err)
				}
			}
			pw.Close()
			resp.Body.Close()
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		})
	}
}

// TestConnectionsThatBecomeIdleAfterCloseIdleConnectionsAreClosed, until there is
// another request.
func TestConnectionsThatBecomeIdleAfterCloseIdleConnectionsAreClosed(t *testing.T) {
	for name, rt := range map[string]http.RoundTripper{"http.Transport": new(http.Transport), "httppipe": new(httppipe.Transport)} {
		t.Run(name, func(t *testing.T) {
			o := newScriptedOrigin(t, []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no" + pause + "k", ok, ok})
			url := "http://" + o.Addr().String()
			resp, err := rt.RoundTrip(getting("/1")(url))
			if err != nil {
				t.Fatal(err)
			}
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			for range 2 {
				outcome(rt, getting("/2")(url))
			}
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.conns != 2 {
				t.Errorf("%d connections, want 2", o.conns)
			}
		})
	}
}

// TestClientConnIsToldThatItsPeerHasGone uses the methods of ClientConn on a
// connection that the peer closes.
func TestClientConnIsToldThatItsPeerHasGone(t *testing.T) {
	o := newScriptedOrigin(t, []string{ok + doClose})
	tr := new(httppipe.Transport)
	cc, err := tr.NewClientConn(context.Background(), "http", o.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	var told atomic.Int32
	ended := make(chan struct{})
	cc.SetStateHook(func(cc *httppipe.ClientConn) {
		if cc.Err() != nil && told.Add(1) == 1 {
			close(ended)
		}
	})
	if err := cc.Reserve(); err != nil || cc.InFlight() != 1 || cc.Available() != 0 {
		t.Errorf("reserved: %v, in flight %d, available %d", err, cc.InFlight(), cc.Available())
	}
	resp, err := cc.RoundTrip(getting("/")("http://another.example"))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	<-ended
	if cc.Available() != 0 || cc.InFlight() != 0 {
		t.Errorf("ended: in flight %d, available %d", cc.InFlight(), cc.Available())
	}
	if _, err := cc.RoundTrip(getting("/")("http://another.example")); err == nil {
		t.Error("a request was sent on it")
	}
}
