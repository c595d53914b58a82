package wire

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// headFor makes a RequestHead of a request, as a transport would.
func headFor(t *testing.T, req *http.Request, viaProxy bool) *RequestHead {
	t.Helper()
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host, err := RequestHost(host, viaProxy)
	require.NoError(t, err)
	target, err := RequestTarget(req.Method, req.URL, host, viaProxy)
	require.NoError(t, err)
	h := &RequestHead{
		Method: req.Method, Target: target, Host: host, UserAgent: "Go-http-client/1.1",
		Header: req.Header, Close: req.Close, Trailer: req.Trailer,
	}
	if values, ok := req.Header["User-Agent"]; ok {
		h.UserAgent = ""
		if len(values) > 0 {
			h.UserAgent = values[0]
		}
	}
	switch {
	case req.ContentLength > 0, req.ContentLength == 0 && strings.Contains("POST PUT PATCH", req.Method) && req.Method != "":
		h.Framing = Framing{Kind: Length, Length: req.ContentLength}
	case req.ContentLength < 0:
		h.Framing = Framing{Kind: Chunked}
	}
	return h
}

// requestCases are requests whose octets are compared with net/http's.
var requestCases = []struct {
	name, method, url string
	change            func(*http.Request)
	viaProxy          bool
}{
	{name: "plain", method: "GET", url: "http://example.com/"},
	{name: "no method", method: "", url: "http://example.com/"},
	{name: "no path", method: "GET", url: "http://example.com"},
	{name: "query", method: "GET", url: "http://example.com:8080/a%20b/c?d=e&f=%20#fragment"},
	{name: "empty query", method: "GET", url: "http://example.com/a?"},
	{name: "no path but query", method: "GET", url: "http://example.com?a=b"},
	{name: "encoded slash", method: "GET", url: "http://example.com/a%2Fb/c"},
	{name: "path in need of escapes", method: "GET", url: "http://example.com/ä b/[c]"},
	{name: "user", method: "GET", url: "http://user:password@example.com/"},
	{name: "IPv6 zone", method: "GET", url: "http://[fe80::1%25en0]:8080/"},
	{name: "international name", method: "GET", url: "http://bücher.example:80/"},
	{name: "asterisk", method: "OPTIONS", url: "http://example.com/", change: func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: "example.com", Path: "*"} }},
	{name: "opaque", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.URL.Opaque = "/%2f/%2f/" }},
	{name: "opaque absolute", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.URL.Opaque = "//other.example/%2F/" }},
	{name: "opaque with query", method: "GET", url: "http://example.com/?a=b", change: func(r *http.Request) { r.URL.Opaque = "http:/x" }},
	{name: "CONNECT", method: "CONNECT", url: "http://example.com:443", change: func(r *http.Request) { r.URL = &url.URL{Host: "example.com:443"} }},
	{name: "CONNECT opaque", method: "CONNECT", url: "http://example.com", change: func(r *http.Request) { r.URL = &url.URL{Host: "proxy", Opaque: "example.com:443"} }},
	{name: "CONNECT with path", method: "CONNECT", url: "http://example.com/_goRPC_"},
	{name: "proxy", method: "GET", url: "http://example.com/a?b=c", viaProxy: true},
	{name: "proxy, no path", method: "GET", url: "http://example.com", viaProxy: true},
	{name: "proxy, opaque", method: "GET", url: "http://example.com", viaProxy: true, change: func(r *http.Request) { r.URL.Opaque = "//x/y" }},
	{name: "proxy, no scheme", method: "GET", url: "http://example.com/a", viaProxy: true, change: func(r *http.Request) { r.URL.Scheme = "" }},
	{name: "proxy, other Host", method: "GET", url: "http://example.com/a", viaProxy: true, change: func(r *http.Request) { r.Host = "other.example" }},
	{name: "Host", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Host = "other.example:81" }},
	{name: "Host is not valid", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Host = "/run/x.sock a" }},
	{name: "Host in Header", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Header.Set("Host", "other.example") }},
	{name: "User-Agent", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Header.Set("User-Agent", " mine/1 \r\n x ") }},
	{name: "no User-Agent", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Header["User-Agent"] = nil }},
	{name: "two User-Agents", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Header["User-Agent"] = []string{"a", "b"} }},
	{name: "sorted", method: "GET", url: "http://example.com/", change: func(r *http.Request) {
		r.Header = http.Header{"B": {"2", "3"}, "A": {"1"}, "b": {"4"}, "X-None": nil, "X-Empty": {""}, "Connection": {"x"}}
	}},
	{name: "cleaned", method: "GET", url: "http://example.com/", change: func(r *http.Request) {
		r.Header = http.Header{"A": {" \t1\r\nB: 2\n", "\r\n"}, "bad name": {"3"}, "bad\r\nname": {"4"}, "": {"5"}}
	}},
	{name: "more fields than fit the stack", method: "GET", url: "http://example.com/", change: func(r *http.Request) {
		for c := 'a'; c <= 'z'; c++ {
			r.Header.Set("X-"+string(c), string(c))
		}
	}},
	{name: "close", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Close = true }},
	{name: "close twice", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Close = true; r.Header.Set("Connection", "x, Close") }},
	{name: "close beside another option", method: "GET", url: "http://example.com/", change: func(r *http.Request) { r.Close = true; r.Header.Set("Connection", "x") }},
	{name: "framing in Header", method: "GET", url: "http://example.com/", change: func(r *http.Request) {
		r.Header = http.Header{"Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"x"}}
	}},
	{name: "POST nothing", method: "POST", url: "http://example.com/"},
	{name: "PUT", method: "PUT", url: "http://example.com/", change: func(r *http.Request) { setContent(r, 5) }},
	{name: "GET with content", method: "GET", url: "http://example.com/", change: func(r *http.Request) { setContent(r, 5) }},
	{name: "chunked", method: "POST", url: "http://example.com/", change: func(r *http.Request) { setContent(r, -1) }},
	{name: "chunked with trailers", method: "PATCH", url: "http://example.com/", change: func(r *http.Request) {
		setContent(r, -1)
		r.Trailer = http.Header{"X-B": {"2"}, "x-a": {"1", "0"}, "X-C": nil}
	}},
	{name: "trailers without chunks", method: "POST", url: "http://example.com/", change: func(r *http.Request) {
		setContent(r, 5)
		r.Trailer = http.Header{"X-B": nil}
	}},
}

// setContent gives r the content "hello".
func setContent(r *http.Request, length int64) {
	r.Body = io.NopCloser(strings.NewReader("hello"))
	r.ContentLength = length
}

// What we write are the octets that net/http writes.
func TestRequestsAreNetHTTPs(t *testing.T) {
	for _, test := range requestCases {
		t.Run(test.name, func(t *testing.T) {
			newRequest := func() *http.Request {
				req, err := http.NewRequest(test.method, test.url, nil)
				require.NoError(t, err)
				req.Method = test.method
				if test.change != nil {
					test.change(req)
				}
				return req
			}
			req := newRequest()
			got := AppendRequestHead([]byte("> "), headFor(t, req, test.viaProxy))
			require.True(t, bytes.HasPrefix(got, []byte("> ")))
			got = appendContent(got[2:], req)

			var want bytes.Buffer
			write := newRequest().Write
			if test.viaProxy {
				write = newRequest().WriteProxy
			}
			require.NoError(t, write(&want))
			require.Equal(t, want.String(), string(got))
		})
	}
}

// appendContent appends the content that setContent has set, if any.
func appendContent(dst []byte, r *http.Request) []byte {
	switch {
	case r.ContentLength > 0:
		return append(dst, "hello"...)
	case r.ContentLength < 0:
		dst = AppendChunkHead(dst, 5)
		dst = append(dst, "hello"...)
		dst = AppendChunkEnd(dst)
		return AppendLastChunk(dst, r.Trailer)
	}
	return dst
}

func TestAppendRequestHead(t *testing.T) {
	for _, test := range []struct {
		name string
		head RequestHead
		want string
	}{
		{"Extra behind Header", RequestHead{Target: "/", Host: "h", UserAgent: "u",
			Header: http.Header{"X": {"1"}, "Y": {"2"}}, Extra: http.Header{"B": {"4"}, "A": {"3"}}},
			"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nX: 1\r\nY: 2\r\nA: 3\r\nB: 4\r\n\r\n"},
		{"Length 0", RequestHead{Method: "DELETE", Target: "/", Host: "h", Framing: Framing{Kind: Length}},
			"DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"close said by Extra", RequestHead{Target: "/", Close: true, Extra: http.Header{"Connection": {"close"}}},
			"GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n"},
		{"close said by a second field", RequestHead{Target: "/", Close: true, Header: http.Header{"Connection": {"x", "close"}}},
			"GET / HTTP/1.1\r\nHost: \r\nConnection: x\r\nConnection: close\r\n\r\n"},
		{"framing in unusual capitals", RequestHead{Target: "/", Host: "h",
			Header: http.Header{"content-length": {"5"}, "TRANSFER-ENCODING": {"chunked"}, "hOST": {"x"}, "trailer": {"y"}, "user-agent": {"z"}},
			Extra:  http.Header{"content-Length": {"5"}, "Host": {"x"}}},
			"GET / HTTP/1.1\r\nHost: h\r\nuser-agent: z\r\n\r\n"},
		{"request line cannot be split", RequestHead{Method: "GET\r\nX:", Target: "/ HTTP/1.1\r\nX: 1\r\n\r\n", Host: "h\r\nX: 2\n"},
			"GET  X: / HTTP/1.1  X: 1 HTTP/1.1\r\nHost: h  X: 2\r\n\r\n"},
		{"trailer names", RequestHead{Target: "/", Framing: Framing{Kind: Chunked},
			Trailer: http.Header{"b": nil, "A": nil, "content-length": nil, "x\r\ny": nil}},
			"GET / HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\nTrailer: A,B\r\n\r\n"},
		{"no valid trailer name", RequestHead{Target: "/", Framing: Framing{Kind: Chunked}, Trailer: http.Header{"Trailer": nil}},
			"GET / HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, string(AppendRequestHead(nil, &test.head)))
		})
	}
}

// Shared maps are only read.
func TestAppendRequestHeadReadsOnly(t *testing.T) {
	header := http.Header{"b": {" x\r\n"}, "A": {"y"}}
	trailer := http.Header{"x-b": {"1"}}
	h := RequestHead{Target: "/", Header: maps.Clone(header), Extra: header, Trailer: trailer, Framing: Framing{Kind: Chunked}}
	AppendRequestHead(nil, &h)
	require.Equal(t, http.Header{"b": {" x\r\n"}, "A": {"y"}}, header)
	require.Equal(t, http.Header{"x-b": {"1"}}, trailer)
}

func TestValidate(t *testing.T) {
	valid := func() *RequestHead {
		return &RequestHead{Method: "PATCH", Target: "/a?b=c", Host: "example.com:80", UserAgent: "x y",
			Header: http.Header{"A": {"b\tc \xff"}, "D": nil}, Extra: http.Header{"e": {""}},
			Framing: Framing{Kind: Chunked}, Trailer: http.Header{"Etag": nil}}
	}
	require.NoError(t, valid().Validate())
	require.NoError(t, (&RequestHead{Target: "*"}).Validate())
	require.NoError(t, (&RequestHead{Target: "/\xff"}).Validate())
	require.NoError(t, (&RequestHead{Target: "/", Framing: Framing{Kind: Length}}).Validate())

	const secret = "SECRET"
	for _, test := range []struct {
		text  string
		spoil func(*RequestHead)
	}{
		{`invalid method "G T"`, func(h *RequestHead) { h.Method = "G T" }},
		{`invalid method "GET\r\nX: "`, func(h *RequestHead) { h.Method = "GET\r\nX: " }},
		{`invalid method`, func(h *RequestHead) { h.Method = "GÄT" }},
		{`invalid request target`, func(h *RequestHead) { h.Target = "" }},
		{`invalid request target`, func(h *RequestHead) { h.Target = "/ " + secret }},
		{`invalid request target`, func(h *RequestHead) { h.Target = "/\r\n" + secret }},
		{`invalid request target`, func(h *RequestHead) { h.Target = "/\x7f" }},
		{`invalid request target`, func(h *RequestHead) { h.Target = "/\t" }},
		{`invalid Host header`, func(h *RequestHead) { h.Host = "a b" }},
		{`invalid Host header`, func(h *RequestHead) { h.Host = "a\r\nX: y" }},
		{`invalid Host header`, func(h *RequestHead) { h.Host = "a/b" }},
		{`invalid header field value for "User-Agent"`, func(h *RequestHead) { h.UserAgent = secret + "\n" }},
		{`invalid header field name "a b"`, func(h *RequestHead) { h.Header["a b"] = nil }},
		{`invalid header field name`, func(h *RequestHead) { h.Header[""] = []string{"x"} }},
		{`invalid header field name "A:"`, func(h *RequestHead) { h.Extra["A:"] = []string{"x"} }},
		{`invalid header field value for "X"`, func(h *RequestHead) { h.Header["X"] = []string{"y", secret + "\r\n"} }},
		{`invalid header field value for "X"`, func(h *RequestHead) { h.Extra["X"] = []string{secret + "\x00"} }},
		{`invalid trailer field name "a b"`, func(h *RequestHead) { h.Trailer["a b"] = nil }},
		{`invalid Trailer key "Content-Length"`, func(h *RequestHead) { h.Trailer["Content-Length"] = nil }},
		{`invalid Trailer key "transfer-encoding"`, func(h *RequestHead) { h.Trailer["transfer-encoding"] = nil }},
		{`invalid Trailer key "TRAILER"`, func(h *RequestHead) { h.Trailer["TRAILER"] = nil }},
		{`invalid content length`, func(h *RequestHead) { h.Framing = Framing{Kind: Length, Length: -1} }},
		{`invalid framing of a request "until close"`, func(h *RequestHead) { h.Framing = Framing{Kind: UntilClose} }},
		{`invalid framing of a request "tunnel"`, func(h *RequestHead) { h.Framing = Framing{Kind: Tunnel} }},
	} {
		h := valid()
		test.spoil(h)
		err := h.Validate()
		wantError(t, err, "*wire.RequestError", test.text)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestValidateTrailer(t *testing.T) {
	require.NoError(t, ValidateTrailer(nil))
	require.NoError(t, ValidateTrailer(http.Header{"Etag": {"x"}}))
	wantError(t, ValidateTrailer(http.Header{"Trailer": nil}), "*wire.RequestError", "invalid Trailer key")
	wantError(t, ValidateTrailer(http.Header{"a b": nil}), "*wire.RequestError", "trailer field name")
	wantError(t, ValidateTrailer(http.Header{"A": {"\n"}}), "*wire.RequestError", `trailer field value for "A"`)
}

func TestRequestHostErrors(t *testing.T) {
	_, err := RequestHost("a b", true)
	wantError(t, err, "*wire.RequestError", "invalid Host header")
	host, err := RequestHost("a b", false)
	require.NoError(t, err)
	require.Empty(t, host)
	_, err = RequestHost("xn--ä", false)
	wantError(t, err, "*wire.RequestError", "host")
}

func TestRequestTargetErrors(t *testing.T) {
	for _, u := range []url.URL{{Path: "/", RawQuery: "a\r\nb"}, {Opaque: "/\x7f"}, {Path: "/", RawQuery: "\x00"}} {
		_, err := RequestTarget("GET", &u, "h", false)
		wantError(t, err, "*wire.RequestError", "control character")
	}
}
