package httppipe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// An origin that appends a whole response to each of its answers: with net/http
// about 25 of 15,000 GETs in this program return the injected content.
func TestInjectedResponseReachesNobody(t *testing.T) {
	const callers, gets = 16, 15_000
	total := gets
	if testing.Short() {
		total = gets / 10
	}
	_, serverTLS := pipetest.TLSConfigs()
	for scheme, server := range map[string]*pipetest.Server{"http": {}, "https": {TLS: serverTLS}} {
		t.Run(scheme, func(t *testing.T) {
			server.Handler = func(x *pipetest.Exchange) pipetest.Answer {
				return pipetest.Answer{Size: 20, Surplus: okay("injected")}
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			server.Start(t, ln)
			tr := piped(oneConn())(new(net.Dialer).DialContext)
			client := &http.Client{Transport: tr}
			defer client.CloseIdleConnections()
			total := total
			if scheme == "https" {
				total /= 20 // each needs a handshake
			}
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() {
					for j := range total / callers {
						path := fmt.Sprintf("/%d/%d", i, j)
						resp, err := client.Get(scheme + "://" + ln.Addr().String() + path)
						if err != nil {
							t.Errorf("%s: %v", path, err)
							return
						}
						got, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil || string(got) != string(pipetest.Content(path, 20)) {
							t.Errorf("%s: got %.30q, %v", path, got, err)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}

// Octets that nobody asked for end the connection before it is used again, whether
// they come with an answer or later; and the origin is not pipelined to any more.
func TestSurplusOctets(t *testing.T) {
	for name, opts := range map[string][]pipetest.Option{"plain": nil, "TLS": {pipetest.TLS()}} {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprint(name, later), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					origin, client := pipetest.New(t, piped(oneConn()), opts...)
					conn := proven(origin, client)
					a := client.Get("/a")
					conn.WantRequests("GET /a")
					if later {
						conn.Send(okay("a"))
						a.WantContent("a")
						conn.Send(okay("surplus"))
						synctest.Wait()
					} else {
						conn.Send(okay("a") + okay("surplus"))
						a.WantContent("a")
					}
					b, c := client.Get("/b"), client.Get("/c")
					conn.WantNoRequest()
					second := origin.Conn(1)
					second.WantRequests("GET /b")
					second.Send(okay("b"))
					b.WantContent("b")
					second.WantRequests("GET /c")
					second.Send(okay("c"))
					c.WantContent("c")
					client.Get("/d")
					client.Get("/e")
					second.WantRequests("GET /d")
					time.Sleep(time.Second)
					second.WantNoRequest() // it waits for its turn
				})
			})
		}
	}
}

// Malformed answers are an error for the caller concerned, and nobody else.
func TestMalformedAnswers(t *testing.T) {
	for name, octets := range map[string]string{
		"no status line":        "garbage\r\n\r\n",
		"bare CR":               "HTTP/1.1 200 OK\rContent-Length: 1\r\n\r\nx",
		"two lengths":           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"no length":             "HTTP/1.1 200 OK\r\nContent-Length: one\r\n\r\nx",
		"negative length":       "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
		"unknown coding":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nx",
		"space before colon":    "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx",
		"version":               "HTTP/one 200 OK\r\n\r\n",
		"status":                "HTTP/1.1 2000 OK\r\n\r\n",
		"101 out of nowhere":    "HTTP/1.1 101 Switching Protocols\r\n\r\nx",
		"half a head, then EOF": "HTTP/1.1 200 OK\r\nContent-Le",
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				a, b, c := client.Get("/a"), client.Get("/b"), client.Get("/c")
				conn.WantRequests("GET /a", "GET /b", "GET /c")
				conn.Send(okay("a") + octets)
				if strings.HasSuffix(name, "EOF") {
					conn.CloseWrite()
				}
				a.WantContent("a")
				err := b.WantError(nil)
				require.NotEmpty(t, err.Error())
				conn.WantClosed()
				second := origin.Conn(1)
				second.WantRequests("GET /c")
				second.Send(okay("c"))
				c.WantContent("c")
			}, oneConn())
		})
	}
}

// Content that ends too early is an error for its reader, and nobody else.
func TestTruncatedContent(t *testing.T) {
	for name, octets := range map[string]string{
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc",
		"last chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"trailer":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
		"chunk garbage": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcGARBAGE",
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				a, b, c := client.Get("/a"), client.Get("/b"), client.Get("/c")
				conn.WantRequests("GET /a", "GET /b", "GET /c")
				conn.Send(okay("a") + octets)
				conn.CloseWrite()
				a.WantContent("a")
				err := b.WantError(nil)
				if name != "chunk garbage" {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
				second := origin.Conn(1)
				second.WantRequests("GET /c")
				second.Send(okay("c"))
				c.WantContent("c")
			}, oneConn())
		})
	}
}

// After a failed write, an end of the stream proves nothing: the write may have
// taken the reset, and the content may not be complete.
func TestUntilCloseAfterFailedWrite(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a := client.Get("/a")
		conn.WantRequests("GET /a")
		mc := conn.NetConn().(*memnet.Conn).Peer()
		mc.FailWrite(mc.Stats().OctetsWritten, errCable)
		b := client.Get("/b")
		conn.Send("HTTP/1.1 200 OK\r\n\r\nhalf of")
		conn.CloseWrite()
		a.WantError(nil)
		second := origin.Conn(1)
		second.WantRequests("GET /b")
		second.Send(okay("b"))
		b.WantContent("b")
	}, oneConn())
}

func TestUntilCloseIsComplete(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a, b := client.Get("/a"), client.Get("/b")
		conn.WantRequests("GET /a", "GET /b")
		conn.Send("HTTP/1.1 200 OK\r\n\r\nall of it")
		conn.CloseWrite()
		a.WantContent("all of it")
		second := origin.Conn(1)
		second.WantRequests("GET /b")
		second.Send(okay("b"))
		b.WantContent("b")
	}, oneConn())
}

// What is wrong with a request is found before anything is sent, or dialed.
func TestBadRequests(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"CR LF in a value":   func(r *http.Request) { r.Header["X"] = []string{"a\r\nInjected: b"} },
		"LF in a value":      func(r *http.Request) { r.Header["X"] = []string{"a\nb"} },
		"CR LF in a name":    func(r *http.Request) { r.Header["X\r\nY"] = []string{"b"} },
		"space in a name":    func(r *http.Request) { r.Header["X Y"] = []string{"b"} },
		"CR LF in a method":  func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"CR LF in the path":  func(r *http.Request) { r.URL.Opaque = "/a\r\nX: y" },
		"CR LF in the query": func(r *http.Request) { r.URL.RawQuery = "a\r\nX: y" },
		"CR LF in a trailer": func(r *http.Request) { r.Trailer = http.Header{"X": {"a\r\nb"}} },
		"scheme":             func(r *http.Request) { r.URL.Scheme = "gopher" },
		"no host":            func(r *http.Request) { r.URL.Host = "" },
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				req := client.NewRequest("GET", "/", nil)
				spoil(req)
				err := client.Do(req).WantError(nil)
				require.NotContains(t, err.Error(), "\n")
				origin.WantConns(0)
			})
		})
	}
}

// As with net/http, a Host that cannot be sent is left empty.
func TestInvalidHostIsNotSent(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		req := client.NewRequest("GET", "/", nil)
		req.Host = "a\r\nX: y"
		client.Do(req)
		require.Empty(t, origin.Requests()[0].Header["X"])
		require.Empty(t, origin.Requests()[0].Host)
	})
}

// Failures to get a connection are errors that say what is wrong.
func TestUnreachable(t *testing.T) {
	_, serverTLS := pipetest.TLSConfigs()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	(&pipetest.Server{}).Start(t, ln)
	tlsLn, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	(&pipetest.Server{TLS: serverTLS}).Start(t, tlsLn)
	for name, test := range map[string]struct{ url, want string }{
		"unresolvable":      {"http://nowhere.invalid/", "nowhere.invalid"},
		"refused":           {"http://127.0.0.1:1/", "refused"},
		"TLS to plain":      {"https://" + ln.Addr().String() + "/", "EOF"},
		"unknown authority": {"https://" + tlsLn.Addr().String() + "/", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := piped()(new(net.Dialer).DialContext).(*httppipe.Transport)
			tr.TLSClientConfig = nil
			defer tr.CloseIdleConnections()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errTookTooLong)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", test.url, nil)
			require.NoError(t, err)
			_, err = tr.RoundTrip(req)
			require.ErrorContains(t, err, test.want)
			require.False(t, errors.Is(err, errTookTooLong))
		})
	}
}
