package wire

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parsed parses a status line without version and fields separated by "|".
func parsed(t *testing.T, version, status, fields string) *ResponseHead {
	t.Helper()
	in := version + " " + status + "\r\n"
	if fields != "" {
		in += strings.ReplaceAll(fields, "|", "\r\n") + "\r\n"
	}
	head, n, err := ParseResponseHead([]byte(in+"\r\n"), Limits{})
	require.NoError(t, err)
	require.NotZero(t, n)
	return &head
}

func TestResponseFraming(t *testing.T) {
	length := func(n int64) Framing { return Framing{Kind: Length, Length: n} }
	doubtful := func(f Framing) Framing { f.Doubtful = true; return f }
	var (
		none    = Framing{}
		chunked = Framing{Kind: Chunked}
		close   = Framing{Kind: UntilClose}
		tunnel  = Framing{Kind: Tunnel}
	)
	const te, cl = "Transfer-Encoding: chunked", "Content-Length: 5"
	for _, test := range []struct {
		rule, method, version, status, fields string
		want                                  Framing
	}{
		{"1 HEAD", "HEAD", "1.1", "200 OK", cl, none},
		{"1 HEAD chunked", "HEAD", "1.1", "200 OK", te, none},
		{"1 HEAD both", "HEAD", "1.1", "200 OK", te + "|" + cl, none},
		{"1 HEAD nothing", "HEAD", "1.1", "200 OK", "", none},
		{"1 interim", "GET", "1.1", "103 Early Hints", "Link: x", none},
		{"1 interim with content", "GET", "1.1", "100 Continue", cl, doubtful(none)},
		{"1 interim with coding", "GET", "1.1", "100 Continue", te, doubtful(none)},
		{"1 204", "GET", "1.1", "204 No Content", "", none},
		{"1 204 with empty content", "GET", "1.1", "204 No Content", "Content-Length: 0", none},
		{"1 204 with content", "DELETE", "1.1", "204 No Content", cl, doubtful(none)},
		{"1 204 with coding", "GET", "1.1", "204 No Content", te, doubtful(none)},
		{"1 304", "GET", "1.1", "304 Not Modified", cl, none},
		{"1 304 chunked", "GET", "1.1", "304 Not Modified", te, none},
		{"1 101", "GET", "1.1", "101 Switching Protocols", "Upgrade: x|Connection: upgrade", tunnel},
		{"2 CONNECT", "CONNECT", "1.1", "200 OK", "", tunnel},
		{"2 CONNECT ignores fields", "CONNECT", "1.1", "204 No Content", te + "|" + cl + "|Content-Length: x", tunnel},
		{"2 CONNECT refused", "CONNECT", "1.1", "407 No", cl, length(5)},
		{"2 CONNECT redirected", "CONNECT", "1.1", "302 No", "", close},
		{"3 both", "GET", "1.1", "200 OK", te + "|" + cl, doubtful(chunked)},
		{"3 both, other order", "GET", "1.1", "200 OK", cl + "|" + te, doubtful(chunked)},
		{"3 both, empty content", "GET", "1.1", "200 OK", "Content-Length: 0|" + te, doubtful(chunked)},
		{"4 chunked", "GET", "1.1", "200 OK", te, chunked},
		{"4 capitals", "POST", "1.1", "500 Oops", "transfer-encoding: CHUNKED", chunked},
		{"4 folded", "GET", "1.1", "200 OK", "Transfer-Encoding:| chunked", chunked},
		{"4 HTTP/1.2", "GET", "1.2", "200 OK", te, chunked},
		{"4 HTTP/1.0", "GET", "1.0", "200 OK", te, doubtful(close)},
		{"4 HTTP/1.0 unknown coding", "GET", "1.0", "200 OK", "Transfer-Encoding: gzip", doubtful(close)},
		{"4 HTTP/1.0 with length", "GET", "1.0", "200 OK", te + "|" + cl, doubtful(length(5))},
		{"5 same lengths", "GET", "1.1", "200 OK", cl + "|" + cl + " |" + cl, length(5)},
		{"6 length", "", "1.1", "200 OK", cl, length(5)},
		{"6 HTTP/1.0", "GET", "1.0", "200 OK", cl, length(5)},
		{"6 zero", "GET", "1.1", "200 OK", "Content-Length: 0", length(0)},
		{"6 205", "GET", "1.1", "205 Reset Content", cl, length(5)},
		{"6 leading zeros", "GET", "1.1", "200 OK", "Content-Length: 0000000000000000000000005", length(5)},
		{"6 largest", "GET", "1.1", "200 OK", "Content-Length: 9223372036854775807", length(1<<63 - 1)},
		{"8 nothing", "GET", "1.1", "200 OK", "", close},
		{"8 HTTP/1.0", "GET", "1.0", "200 OK", "Connection: keep-alive", close},
		{"8 code that means nothing", "GET", "1.1", "099 ?", "", close},
	} {
		t.Run(test.rule, func(t *testing.T) {
			head := parsed(t, "HTTP/"+test.version, test.status, test.fields)
			got, err := ResponseFraming(test.method, head)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestInvalidFraming(t *testing.T) {
	const syntax, unsupported = "*wire.SyntaxError", "*wire.UnsupportedError"
	for _, test := range []struct{ rule, fields, kind, text string }{
		{"4 unknown", "Transfer-Encoding: gzip", unsupported, `unsupported transfer encoding: "gzip"`},
		{"4 identity", "Transfer-Encoding: identity", unsupported, `"identity"`},
		{"4 empty", "Transfer-Encoding:", unsupported, `""`},
		{"4 two codings", "Transfer-Encoding: gzip, chunked", unsupported, `"gzip, chunked"`},
		{"4 chunked twice", "Transfer-Encoding: chunked|Transfer-Encoding: chunked", unsupported, `"chunked, chunked"`},
		{"4 chunked not last", "Transfer-Encoding: chunked|Transfer-Encoding: identity", unsupported, "identity"},
		{"4 empty member", "Transfer-Encoding: chunked,", unsupported, `"chunked,"`},
		{"4 with length", "Transfer-Encoding: x|Content-Length: 5", unsupported, `"x"`},
		{"5 different", "Content-Length: 5|Content-Length: 6", syntax, "message cannot contain multiple Content-Length headers"},
		{"5 different at the end", "Content-Length: 5|Content-Length: 5|Content-Length: 05", syntax, "multiple"},
		{"5 list", "Content-Length: 5, 5", syntax, `bad Content-Length "5, 5"`},
		{"5 empty", "Content-Length:", syntax, "invalid empty Content-Length"},
		{"5 plus", "Content-Length: +5", syntax, `bad Content-Length "+5"`},
		{"5 minus", "Content-Length: -5", syntax, `bad Content-Length "-5"`},
		{"5 hexadecimal", "Content-Length: 0x5", syntax, "bad Content-Length"},
		{"5 underscore", "Content-Length: 5_0", syntax, "bad Content-Length"},
		{"5 inner space", "Content-Length: 5 0", syntax, "bad Content-Length"},
		{"5 too large", "Content-Length: 9223372036854775808", syntax, "bad Content-Length"},
		{"5 much too large", "Content-Length: 99999999999999999999", syntax, "bad Content-Length"},
		{"5 although chunked", "Transfer-Encoding: chunked|Content-Length: x", syntax, "bad Content-Length"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				_, err := ResponseFraming(method, parsed(t, "HTTP/1.1", "200 OK", test.fields))
				wantError(t, err, test.kind, test.text)
			}
			_, err := ResponseFraming("GET", parsed(t, "HTTP/1.1", "204 No Content", test.fields))
			wantError(t, err, test.kind, test.text)
		})
	}
}

func TestFramingPersists(t *testing.T) {
	for _, test := range []struct {
		f    Framing
		want bool
	}{
		{Framing{}, true},
		{Framing{Kind: Length, Length: 5}, true},
		{Framing{Kind: Chunked}, true},
		{Framing{Kind: Chunked, Doubtful: true}, false},
		{Framing{Kind: UntilClose}, false},
		{Framing{Kind: Tunnel}, false},
	} {
		require.Equal(t, test.want, test.f.Persists(), "%+v", test.f)
	}
}

func TestTakeTransfer(t *testing.T) {
	type header = http.Header
	chunked := []string{"chunked"}
	for _, test := range []struct {
		name, method, version, status, fields string
		want                                  Transfer
		header                                header
	}{
		{"length", "GET", "1.1", "200 OK", "Content-Length: 5", Transfer{ContentLength: 5}, header{"Content-Length": {"5"}}},
		{"repeated length", "GET", "1.1", "200 OK", "Content-Length: 5|Content-Length: 5",
			Transfer{ContentLength: 5}, header{"Content-Length": {"5"}}},
		{"chunked", "GET", "1.1", "200 OK", "Transfer-Encoding: chunked|Content-Length: 5",
			Transfer{ContentLength: -1, TransferEncoding: chunked}, header{}},
		{"chunked HEAD", "HEAD", "1.1", "200 OK", "Transfer-Encoding: chunked|Content-Length: 5",
			Transfer{ContentLength: 5, TransferEncoding: chunked}, header{"Content-Length": {"5"}}},
		{"HEAD", "HEAD", "1.1", "200 OK", "", Transfer{ContentLength: -1}, header{}},
		{"304", "GET", "1.1", "304 Not Modified", "Content-Length: 5", Transfer{}, header{"Content-Length": {"5"}}},
		{"until close", "GET", "1.1", "200 OK", "Connection: x", Transfer{ContentLength: -1, Close: true}, header{"Connection": {"x"}}},
		{"close", "GET", "1.1", "200 OK", "Connection: close|Content-Length: 0", Transfer{Close: true}, header{"Content-Length": {"0"}}},
		{"close in HTTP/1.0", "GET", "1.0", "200 OK", "Connection: close|Content-Length: 0",
			Transfer{Close: true}, header{"Connection": {"close"}, "Content-Length": {"0"}}},
		{"101", "GET", "1.1", "101 Switching Protocols", "Connection: upgrade", Transfer{}, header{"Connection": {"upgrade"}}},
		{"CONNECT", "CONNECT", "1.1", "200 OK", "", Transfer{ContentLength: -1, Close: true}, header{}},
		{"trailers", "GET", "1.1", "200 OK", "Transfer-Encoding: chunked|Trailer: a, Etag ,,|Trailer: x-y",
			Transfer{ContentLength: -1, TransferEncoding: chunked, Trailer: header{"A": nil, "Etag": nil, "X-Y": nil}}, header{}},
		{"trailers without chunks", "GET", "1.1", "200 OK", "Content-Length: 0|Trailer: a",
			Transfer{}, header{"Content-Length": {"0"}, "Trailer": {"a"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			head := parsed(t, "HTTP/"+test.version, test.status, test.fields)
			f, err := ResponseFraming(test.method, head)
			require.NoError(t, err)
			got, err := head.TakeTransfer(test.method, f)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.Equal(t, test.header, head.Header)
		})
	}
}

func TestTrailerMustNotAnnounceFraming(t *testing.T) {
	for _, name := range []string{"Content-Length", "transfer-encoding", "a, TRAILER"} {
		head := parsed(t, "HTTP/1.1", "200 OK", "Transfer-Encoding: chunked|Trailer: "+name)
		_, err := head.TakeTransfer("GET", Framing{Kind: Chunked})
		wantError(t, err, "*wire.SyntaxError", "bad trailer key")
	}
}

func TestFramingKindString(t *testing.T) {
	require.Equal(t, "chunked", Chunked.String())
	require.Equal(t, "FramingKind(9)", FramingKind(9).String())
}
