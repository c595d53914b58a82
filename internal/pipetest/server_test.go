package pipetest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
)

// serve starts s on a network and returns a connection to it.
func serve(t *testing.T, s *Server, opts ...memnet.Option) (*memnet.Network, *memnet.Conn) {
	t.Helper()
	network := memnet.New(opts...)
	ln, err := network.Listen(Host + ":80")
	require.NoError(t, err)
	s.Start(t, ln)
	return network, dialServer(t, network)
}

func dialServer(t *testing.T, network *memnet.Network) *memnet.Conn {
	t.Helper()
	c, err := network.DialContext(t.Context(), "tcp", Host+":80")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*memnet.Conn)
}

// answering returns a Handler that answers as the map says, by path.
func answering(answers map[string]Answer) Handler {
	return func(x *Exchange) Answer { return answers[x.Request.URL.Path] }
}

func behaving(b Behaviour) func(int) Behaviour {
	return func(int) Behaviour { return b }
}

// get returns a pipeline of GET requests.
func get(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, Host)
	}
	return b.String()
}

func send(t *testing.T, c net.Conn, octets string) {
	t.Helper()
	_, err := io.WriteString(c, octets)
	require.NoError(t, err)
}

// readAll reads until the end and returns what came before it.
func readAll(c net.Conn) (string, error) {
	got, err := io.ReadAll(c)
	return string(got), err
}

// silent wants c to have nothing to read for an hour of virtual time.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	n, err := c.Read(make([]byte, 1))
	require.Zero(t, n)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	c.SetReadDeadline(time.Time{})
}

// ok is an answer as the Server writes it.
func ok(content string, fields ...string) string {
	fields = append(fields, fmt.Sprintf("Content-Length: %d", len(content)))
	return "HTTP/1.1 200 OK\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n" + content
}

// letters answers each path with its letter, and /slow after a second.
func letters(x *Exchange) Answer {
	a := Answer{Body: []byte(x.Request.URL.Path[1:2])}
	if x.Request.URL.Path == "/slow" {
		a.Delay = time.Second
	}
	return a
}

func TestPipeliningBehaviours(t *testing.T) {
	const resetByPeer = "reset"
	tests := []struct {
		name  string
		plan  Behaviour
		send  string
		want  string
		ended string // "EOF", resetByPeer, or "" for silence
	}{
		{"in order", Behaviour{}, get("/slow", "/b", "/c"), ok("s") + ok("b") + ok("c"), ""},
		{"mute", Behaviour{Mute: true}, get("/a", "/b"), "", ""},
		{"close on second, alone", Behaviour{Pipelining: CloseOnSecond}, get("/a"), ok("a"), ""},
		{"close on second", Behaviour{Pipelining: CloseOnSecond}, get("/a", "/b"), "", "EOF"},
		{"close on second by reset", Behaviour{Pipelining: CloseOnSecond, Ending: EndClose}, get("/a", "/b"), "", resetByPeer},
		{"silent on pair, alone", Behaviour{Pipelining: SilentOnPair}, get("/a"), ok("a"), ""},
		{"silent on pair", Behaviour{Pipelining: SilentOnPair}, get("/a", "/b"), "", ""},
		{"first only", Behaviour{Pipelining: FirstOnly}, get("/a", "/b", "/c"), ok("a"), ""},
		{"first then close", Behaviour{Pipelining: FirstThenClose}, get("/a", "/b"), ok("a"), "EOF"},
		{"drop second", Behaviour{Pipelining: DropSecond}, get("/a", "/b", "/c"), ok("a") + ok("c"), ""},
		{"close after two", Behaviour{CloseAfter: 2}, get("/a", "/b", "/c"), ok("a") + ok("b"), "EOF"},
		{"close after two, announced", Behaviour{CloseAfter: 2, Announce: true}, get("/a", "/b", "/c"),
			ok("a") + ok("b", "Connection: close"), "EOF"},
		{"reset after two", Behaviour{CloseAfter: 2, Ending: EndReset}, get("/a", "/b"), ok("a") + ok("b"), resetByPeer},
		{"close with a request waiting", Behaviour{CloseAfter: 1, Ending: EndClose}, get("/a", "/b"), ok("a"), resetByPeer},
		{"close with none waiting", Behaviour{CloseAfter: 1, Ending: EndClose}, get("/a"), ok("a"), "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, &Server{Handler: letters, Plan: behaving(test.plan)})
				send(t, c, test.send)
				c.SetReadDeadline(time.Now().Add(time.Hour))
				got, err := readAll(c)
				require.Equal(t, test.want, got)
				var ne net.Error
				switch test.ended {
				case "EOF":
					require.NoError(t, err)
				case resetByPeer:
					require.ErrorIs(t, err, syscall.ECONNRESET)
				default:
					require.ErrorAs(t, err, &ne)
					require.True(t, ne.Timeout())
				}
			})
		})
	}
}

func TestCloseOnSecondDuringTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, &Server{Handler: letters, Plan: behaving(Behaviour{Pipelining: CloseOnSecond})})
		start := time.Now()
		send(t, c, get("/slow"))
		time.Sleep(time.Second / 2)
		send(t, c, get("/b"))
		got, err := readAll(c)
		require.NoError(t, err)
		require.Empty(t, got)
		require.Equal(t, time.Second/2, time.Since(start))
	})
}

// A lingering end reads on, so that no answer is destroyed.
func TestLingerIgnoresSurplusRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: letters, Plan: behaving(Behaviour{CloseAfter: 1})}
		_, c := serve(t, s, memnet.Latency(time.Millisecond))
		send(t, c, get("/a"))
		for range 10 {
			send(t, c, get("/b"))
			time.Sleep(time.Millisecond)
		}
		got, err := readAll(c)
		require.NoError(t, err)
		require.Equal(t, ok("a"), got)
		require.Equal(t, []string{"GET /a"}, s.OnConn(0))
	})
}

// Close with requests waiting destroys answers that are on their way.
func TestCloseDestroysAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: letters, Plan: behaving(Behaviour{CloseAfter: 1, Ending: EndClose})}
		_, c := serve(t, s, memnet.Latency(time.Millisecond))
		send(t, c, get("/a", "/b"))
		got, err := readAll(c)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Empty(t, got)
		require.True(t, s.Record()[0].Answered)
	})
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		method string
		answer Answer
		want   string
		ends   bool
	}{
		{"zero", "GET", Answer{}, ok(""), false},
		{"status and header", "GET", Answer{Status: 503, Header: http.Header{"Retry-After": {"1"}}},
			"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n", false},
		{"HEAD", "HEAD", Answer{Body: []byte("abc")}, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false},
		{"204", "GET", Answer{Status: 204, Body: []byte("abc")}, "HTTP/1.1 204 No Content\r\n\r\n", false},
		{"304", "GET", Answer{Status: 304, Chunked: true}, "HTTP/1.1 304 Not Modified\r\n\r\n", false},
		{"interims", "GET", Answer{Interims: []int{100, 103}},
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ok(""), false},
		{"chunked", "GET", Answer{Body: []byte("abcde"), Chunked: true, Piece: 2},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n", false},
		{"chunked, empty", "GET", Answer{Chunked: true},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"trailer", "GET", Answer{Body: []byte("a"), Trailer: http.Header{"X-Sum": {"1"}}},
			"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", false},
		{"slow", "GET", Answer{Body: []byte("abc"), Piece: 1, Pace: time.Second}, ok("abc"), false},
		{"surplus", "GET", Answer{Surplus: "HTTP/1.1 200 Surplus"}, ok("") + "HTTP/1.1 200 Surplus", false},
		{"HTTP/1.0", "GET", Answer{HTTP10: true, Chunked: true, Body: []byte("a")},
			"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", true},
		{"until close", "GET", Answer{UntilClose: true, Body: []byte("abc"), Chunked: true},
			"HTTP/1.1 200 OK\r\n\r\nabc", true},
		{"close", "GET", Answer{Close: true}, ok("", "Connection: close"), true},
		{"truncated", "GET", Answer{Body: []byte("abc"), Truncate: true, TruncateAt: 2},
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true},
		{"truncated before the content", "GET", Answer{Body: []byte("abc"), Truncate: true},
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true},
		{"truncated chunks", "GET", Answer{Body: []byte("abc"), Chunked: true, Truncate: true, TruncateAt: 2, Piece: 1},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n", true},
		{"wrong framing on request", "GET", Answer{Header: http.Header{"Content-Length": {"9"}}, Body: []byte("a")},
			"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, &Server{Handler: answering(map[string]Answer{"/": test.answer, "/next": {}})})
				send(t, c, strings.Replace(get("/", "/next"), "GET", test.method, 1))
				want := test.want
				if !test.ends {
					want += ok("")
				}
				c.SetReadDeadline(time.Now().Add(time.Hour))
				got, err := readAll(c)
				require.Equal(t, want, got)
				require.Equal(t, test.ends, err == nil)
			})
		})
	}
}

func TestDelayAndPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, &Server{Handler: answering(map[string]Answer{
			"/": {Delay: time.Minute, Body: []byte("abc"), Piece: 1, Pace: time.Second},
		})})
		start := time.Now()
		send(t, c, get("/"))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
		require.Equal(t, time.Minute+3*time.Second, time.Since(start))
	})
}

func TestEndlessAnswer(t *testing.T) {
	for name, a := range map[string]Answer{
		"chunked":     {Endless: true},
		"until close": {Endless: true, UntilClose: true, Piece: 100},
		"truncated":   {Endless: true, Truncate: true, TruncateAt: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, &Server{Handler: answering(map[string]Answer{"/": a})})
				send(t, c, get("/"))
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				require.NoError(t, err)
				got := make([]byte, 100_000)
				_, err = io.ReadFull(resp.Body, got)
				require.NoError(t, err)
				require.True(t, bytes.Equal(Content("/", len(got)), got))
				if a.Truncate {
					_, err := resp.Body.Read(got)
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
			})
		})
	}
}

func TestUploads(t *testing.T) {
	const head = "PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
	const continued = "HTTP/1.1 100 Continue\r\n\r\n"
	t.Run("recorded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Handler: answering(map[string]Answer{"/up": {Echo: true}})}
			_, c := serve(t, s)
			send(t, c, head+"\r\nab")
			synctest.Wait()
			require.False(t, s.Record()[0].Complete)
			require.EqualValues(t, 2, s.Record()[0].Octets)
			send(t, c, "cde"+get("/"))
			c.CloseWrite()
			got, err := readAll(c)
			require.NoError(t, err)
			require.Equal(t, ok("abcde")+ok(""), got)
			e := s.Record()[0]
			require.True(t, e.Complete && e.Answered)
			require.Equal(t, sha256.Sum256([]byte("abcde")), e.Sum)
		})
	})
	t.Run("early answer, connection goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Handler: answering(map[string]Answer{"/up": {Early: true, Status: 413}})}
			_, c := serve(t, s)
			send(t, c, head+"\r\nab")
			want := "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n"
			got := make([]byte, len(want))
			_, err := io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
			send(t, c, "cde"+get("/"))
			c.CloseWrite()
			rest, err := readAll(c)
			require.NoError(t, err)
			require.Equal(t, ok(""), rest)
			require.Equal(t, []string{"PUT /up", "GET /"}, s.OnConn(0))
			require.Equal(t, sha256.Sum256([]byte("abcde")), s.Record()[0].Sum)
		})
	})
	t.Run("early answer, then reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := serve(t, &Server{
				Handler: answering(map[string]Answer{"/up": {Early: true, Close: true}}),
				Plan:    behaving(Behaviour{Ending: EndClose}),
			})
			send(t, c, head+"\r\nab")
			got, err := readAll(c)
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Equal(t, ok("", "Connection: close"), got)
		})
	})
	t.Run("100 (Continue)", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := serve(t, &Server{Handler: answering(map[string]Answer{"/up": {}})})
			send(t, c, head+"Expect: 100-continue\r\n\r\n")
			got := make([]byte, len(continued))
			_, err := io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, continued, string(got))
			silent(t, c)
			send(t, c, "abcde")
			c.CloseWrite()
			rest, err := readAll(c)
			require.NoError(t, err)
			require.Equal(t, ok(""), rest)
		})
	})
	t.Run("no 100", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := serve(t, &Server{Handler: answering(map[string]Answer{"/up": {No100: true}})})
			send(t, c, head+"Expect: 100-continue\r\n\r\n")
			silent(t, c)
		})
	})
}

// With small buffers the server stops reading while its answers are unread.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		_, c := serve(t, s, memnet.Buffer(256))
		const n = 2000
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if _, err := io.WriteString(c, get(fmt.Sprintf("/%d?n=%d", i, i%100))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		synctest.Wait()
		select {
		case <-sent:
			t.Fatal("all requests were taken although no answer was read")
		default:
		}
		br := bufio.NewReader(c)
		for i := range n {
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, Content(fmt.Sprintf("/%d?n=%d", i, i%100), i%100), got)
		}
		require.NoError(t, <-sent)
		require.Len(t, s.Record(), n)
	})
}

func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Plan: func(i int) Behaviour {
			return []Behaviour{{Pipelining: DropSecond}, {CloseAfter: 1}, {}}[i]
		}}
		network, first := serve(t, s)
		send(t, first, get("/a", "/b", "/c"))
		synctest.Wait()
		second := dialServer(t, network)
		send(t, second, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		synctest.Wait()
		third := dialServer(t, network)
		send(t, third, get("/b")+"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		synctest.Wait()

		require.Equal(t, 3, s.Conns())
		require.Equal(t, []string{"GET /a", "GET /b", "GET /c"}, s.OnConn(0))
		require.Equal(t, []string{"GET /b", "POST /p"}, s.OnConn(2))
		require.Equal(t, 2, s.Times("GET", "/b"))
		require.Equal(t, []string{"GET /b", "POST /p"}, s.Repeated())
		require.Equal(t, []string{"POST /p"}, s.Repeated("POST", "PUT"))
		record := s.Record()
		require.True(t, record[1].Dropped && !record[1].Answered)
		require.Equal(t, 2, record[2].Index)
		require.Empty(t, s.Malformed())

		send(t, third, "junk\r\n\r\n")
		_, err := readAll(third)
		require.NoError(t, err)
		require.Len(t, s.Malformed(), 1)
		s.ResetAll()
		_, err = readAll(first)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// A request that the end of the connection cuts off is not malformed, wherever that is.
func TestRequestThatIsCutOffIsNotMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		network, _ := serve(t, s)
		whole := "PUT /a?n=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
		for n := range len(whole) + 1 {
			nc := dialServer(t, network)
			send(t, nc, whole[:n])
			require.NoError(t, nc.Close())
			synctest.Wait()
		}
		require.Empty(t, s.Malformed())
		require.Len(t, s.Record(), 1)
	})
}

func TestServerServesNetHTTP(t *testing.T) {
	_, serverTLS := TLSConfigs()
	for name, s := range map[string]*Server{"plain": {}, "tls": {TLS: serverTLS}} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			s.Start(t, ln)
			rt := netHTTP(new(net.Dialer).DialContext).(*http.Transport)
			defer rt.CloseIdleConnections()
			for range 3 {
				req, err := http.NewRequest("GET", map[string]string{"plain": "http", "tls": "https"}[name]+"://"+ln.Addr().String()+"/x?n=70000", nil)
				require.NoError(t, err)
				resp, err := rt.RoundTrip(req)
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.True(t, bytes.Equal(Content("/x?n=70000", 70000), got))
			}
			require.Equal(t, 1, s.Conns())
		})
	}
}

func TestServerCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: func(x *Exchange) Answer {
			if x.Request.URL.Path == "/block" {
				<-x.Context.Done()
			}
			return Answer{Delay: time.Hour}
		}}
		network, first := serve(t, s)
		second := dialServer(t, network)
		send(t, first, get("/"))
		send(t, second, get("/block"))
		dialServer(t, network)
		synctest.Wait()
		s.Close() // waits for their goroutines
		_, err := readAll(second)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestContent(t *testing.T) {
	all := Content("/a", 1000)
	require.Equal(t, all[:77], Content("/a", 77))
	require.NotEqual(t, all, Content("/b", 1000))
	got, err := io.ReadAll(io.LimitReader(oneByOne{ContentReader("/a")}, 1000))
	require.NoError(t, err)
	require.Equal(t, all, got)
	require.Greater(t, len(bytes.Fields(all)), 1, "the octets should vary")
}

type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }
