package pipetest

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
)

// netHTTP is the transport of net/http over dial.
func netHTTP(dial DialFunc) http.RoundTripper {
	clientTLS, _ := TLSConfigs()
	return &http.Transport{DialContext: dial, TLSClientConfig: clientTLS, DisableCompression: true}
}

// fatal is a testing.TB that notes failures instead of failing.
type fatal struct {
	testing.TB
	failed bool
}

func (f *fatal) Fatal(...any)          { f.failed = true; panic(f) }
func (f *fatal) Fatalf(string, ...any) { f.failed = true; panic(f) }

// mustFail wants f to fail the test it is given.
func mustFail(t *testing.T, what string, o *Origin, call *Call, f func()) {
	t.Helper()
	noted := &fatal{TB: t}
	o.t = noted
	if call != nil {
		call.t = noted
	}
	defer func() {
		recover()
		o.t = t
		if call != nil {
			call.t = t
		}
		if !noted.failed {
			t.Errorf("%s must fail the test", what)
		}
	}()
	f()
}

func TestScript(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		a := client.Get("/a")
		origin.WantRequests("GET /a")
		b := client.Get("/b")
		origin.Conn(1).WantRequests("GET /b")
		origin.WantConns(2)
		origin.WantNoRequest()
		origin.Conn(0).Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nA")
		a.WantStatus(200)
		a.WantHeader("X-A", "1")
		a.WantContentSoFar("A")
		b.WantPending("it has no answer")
		origin.Conn(0).Send("a")
		a.WantContent("Aa")
		origin.Conn(1).Send("HTTP/1.1 404 Not Found\r\n")
		b.WantPending("its head is incomplete")
		origin.Conn(1).Close()
		b.WantError(io.ErrUnexpectedEOF)
		origin.WantOpen(1)
		c := client.Get("/c")
		origin.Conn(0).WantRequests("GET /c")
		origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // the only one open
		c.WantContent("")
	})
}

func TestScriptUpload(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		content, more := io.Pipe()
		call := client.Do(client.NewRequest("PUT", "/up", content))
		io.WriteString(more, "first ")
		origin.Conn(0).WantBodySoFar("first ")
		io.WriteString(more, "second")
		more.Close()
		origin.Conn(0).WantBody("first second")
		origin.Send("HTTP/1.1 204 No Content\r\n\r\n")
		call.WantStatus(204)
		r := origin.Requests()[0]
		require.Equal(t, "PUT /up HTTP/1.1", r.Method+" "+r.Target+" "+r.Proto)
		require.True(t, strings.HasPrefix(r.Raw, "PUT /up HTTP/1.1\r\nHost: "))
		require.True(t, strings.HasSuffix(r.Raw, "\r\n\r\n6\r\nfirst \r\n6\r\nsecond\r\n0\r\n\r\n"))
		require.Equal(t, r.Raw, origin.Conn(0).Raw())
	})
}

func TestScriptCancel(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		call := client.Get("/")
		origin.WantRequests("GET /")
		origin.Conn(0).WantOpen()
		call.Cancel()
		call.WantError("canceled")
		origin.Conn(0).WantClosed()
	})
}

func TestScriptReset(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		call := client.Get("/")
		origin.WantRequests("GET /")
		origin.Conn(0).Reset()
		call.WantError(syscall.ECONNRESET)
		require.True(t, call.WantError(func(error) bool { return true }) != nil)
	})
}

func TestScriptCloseWrite(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		call := client.Get("/")
		origin.WantRequests("GET /")
		origin.Send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
		call.WantContentSoFar("until the end")
		origin.Conn(0).CloseWrite()
		call.WantContent("until the end")
	})
}

func TestScriptUnreadAnswer(t *testing.T) {
	EachNetwork(t, func(t *testing.T, opts ...Option) {
		origin, client := New(t, netHTTP, opts...)
		call := client.DoUnread(client.NewRequest("GET", "/", nil))
		origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
		call.WantStatus(200)
		call.WantContentSoFar("")
		call.Resume()
		call.WantContent("A")
	})
}

func TestSendDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin, client := New(t, netHTTP, Net(memnet.Buffer(256)))
		call := client.DoUnread(client.NewRequest("GET", "/", nil))
		want := strings.Repeat("0123456789", 2000)
		origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + want[:10000])
		origin.Send(want[10000:])
		call.Resume()
		call.WantContent(want)
	})
}

// What was sent before the end is not lost in a queue.
func TestEndsFollowWhatWasSent(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"Close": (*Conn).Close, "CloseWrite": (*Conn).CloseWrite, "Reset": (*Conn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			EachNetwork(t, func(t *testing.T, opts ...Option) {
				if origin, client := New(t, netHTTP, opts...); name != "Reset" || origin.Network != nil {
					call := client.Get("/")
					origin.WantRequests("GET /")
					origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
					end(origin.Conn(0))
					call.WantContent("last")
				}
			})
		})
	}
}

func TestPauseReading(t *testing.T) {
	for name, opts := range map[string][]Option{"plain": nil, "tls": {TLS()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				origin, client := New(t, netHTTP, opts...)
				content, more := io.Pipe()
				defer more.Close()
				client.Do(client.NewRequest("PUT", "/up", content))
				io.WriteString(more, "a")
				origin.Conn(0).WantBodySoFar("a")
				origin.Conn(0).PauseReading()
				io.WriteString(more, "b")
				origin.Conn(0).WantBodySoFar("a")
				require.NotZero(t, origin.Conn(0).NetConn().(*memnet.Conn).Unread())
				origin.Conn(0).ResumeReading()
				origin.Conn(0).WantBodySoFar("ab")
			})
		})
	}
}

func TestWantsOutlastLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin, client := New(t, netHTTP, Net(memnet.Latency(time.Second)))
		call := client.Get("/")
		origin.WantConns(0)
		time.Sleep(3 * time.Second)
		origin.WantRequests("GET /")
		origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
		call.WantPending("the answer is on its way")
		call.Wait().WantContent("A")
	})
}

func TestOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := NewOrigin(t)
		c, err := origin.DialContext(t.Context(), "tcp", origin.Addr())
		require.NoError(t, err)
		defer c.Close()
		io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		io.WriteString(c, "GET /b HTTP/1.1\r\nHost: x\r\n\r\nPUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nC")
		origin.WantRequests("GET /a", "GET /b", "PUT /c")
		origin.Conn(0).WantOneWrite("GET /b", "PUT /c")
		require.Len(t, origin.Conn(0).Writes(), 2)
		mustFail(t, "WantOneWrite", origin, nil, func() {
			origin.Conn(0).WantOneWrite("GET /a", "GET /b", "PUT /c")
		})
	})
}

func TestSeveralOriginsOnOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		a, b := NewOrigin(t, At(network, "a.test:80")), NewOrigin(t, At(network, "b.test:8080"))
		rt := netHTTP(network.DialContext)
		client := NewClient(t, rt, b.URL())
		client.Get("/b")
		b.WantRequests("GET /b")
		require.Equal(t, "b.test:8080", b.Requests()[0].Host)
		a.WantNoRequest()
	})
}

func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin, client := New(t, netHTTP)
		calls := client.Together(client.NewRequest("GET", "/a", nil), client.NewRequest("GET", "/a", nil))
		require.Len(t, calls, 2)
		origin.WantRequests("GET /a", "GET /a")
		calls[1].WantPending("there is no answer")
		client.Head("/h")
		client.Post("/p", "P")
		origin.Conn(2).WantRequests("HEAD /h")
		origin.Conn(3).WantBody("P")
	})
}

// Wants that are not met must fail.
func TestWantsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin, client := New(t, netHTTP)
		pending := client.Get("/pending")
		origin.Conn(0).WantRequests("GET /pending")
		answered := client.Get("/answered")
		origin.Conn(1).Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
		fails := func(what string, call *Call, f func()) {
			t.Helper()
			mustFail(t, what, origin, call, f)
		}
		fails("WantNoRequest", nil, func() { origin.WantNoRequest() })
		fails("WantRequests, other", nil, func() { origin.WantRequests("GET /other") })
		fails("WantRequests, more", nil, func() { origin.WantRequests("GET /answered", "GET /more") })
		origin.WantRequests("GET /answered")
		fails("WantRequests, old", nil, func() { origin.WantRequests("GET /answered") })
		fails("WantConns", nil, func() { origin.WantConns(1) })
		fails("WantOpen", nil, func() { origin.WantOpen(1) })
		fails("Conn", nil, func() { origin.Conn(2) })
		fails("Send on one of two", nil, func() { origin.Send("x") })
		fails("Conn.WantClosed", nil, func() { origin.Conn(0).WantClosed() })
		fails("WantBody", nil, func() { origin.Conn(0).WantBody("x") })
		fails("WantBodySoFar", nil, func() { origin.Conn(0).WantBodySoFar("") })
		fails("WantContent, pending", pending, func() { pending.WantContent("") })
		fails("WantStatus, pending", pending, func() { pending.WantStatus(200) })
		fails("WantError, pending", pending, func() { pending.WantError(nil) })
		fails("WantContentSoFar, pending", pending, func() { pending.WantContentSoFar("") })
		fails("WantPending", answered, func() { answered.WantPending("") })
		fails("WantContent, other", answered, func() { answered.WantContent("B") })
		fails("WantContentSoFar, ended", answered, func() { answered.WantContentSoFar("A") })
		fails("WantStatus, other", answered, func() { answered.WantStatus(201) })
		fails("WantHeader", answered, func() { answered.WantHeader("Content-Length", "2") })
		fails("WantError", answered, func() { answered.WantError(nil) })
		origin.Conn(0).Close()
		origin.Conn(0).WantClosed()
		fails("Conn.WantOpen", nil, func() { origin.Conn(0).WantOpen() })
		fails("WantError, other", pending, func() { pending.WantError(syscall.ECONNRESET) })
		fails("WantContent, failed", pending, func() { pending.WantContent("") })
	})
}

func TestInBubble(t *testing.T) {
	require.False(t, inBubble())
	synctest.Test(t, func(t *testing.T) { require.True(t, inBubble()) })
}

func TestEverySplit(t *testing.T) {
	var got [][]string
	EverySplit("abc", func(reads []string) { got = append(got, reads) })
	require.Equal(t, [][]string{{"", "abc"}, {"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"a", "b", "c"}}, got)
}

func TestTCPPairs(t *testing.T) {
	client, server := TinyTCPPair(t, 1)
	go func() { client.Write(Content("/", 10_000)); client.CloseWrite() }()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, Content("/", 10_000), got)

	client2, server2 := TCPPair(t)
	require.NoError(t, ResetTCP(server2))
	_, err = client2.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestTLSPair(t *testing.T) {
	exchange := func(t *testing.T, client, server *tls.Conn) {
		go io.WriteString(client, "hello")
		got := make([]byte, 5)
		_, err := io.ReadFull(server, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
	synctest.Test(t, func(t *testing.T) {
		clientEnd, serverEnd := memnet.Pipe(memnet.MaxRead(7), memnet.Latency(time.Millisecond))
		client, server := TLSPair(t, clientEnd, serverEnd)
		exchange(t, client, server)
	})
	clientEnd, serverEnd := TCPPair(t)
	client, server := TLSPair(t, clientEnd, serverEnd)
	exchange(t, client, server)
}

func TestLeaksAreSeen(t *testing.T) {
	VerifyNoLeaks(t)
	stop := make(chan struct{})
	go func() { <-stop }()
	leaked := waitForLeaks(0)
	require.Len(t, leaked, 1)
	require.Contains(t, leaked[0], "TestLeaksAreSeen")
	close(stop)
	VerifyNoLeaks(t)
}
