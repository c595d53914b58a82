package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// headSeeds are response heads, right and wrong, for every fuzz target.
var headSeeds = []string{
	typicalHead,
	lowerHead,
	"HTTP/1.1 200\n\n",
	"HTTP/1.0 301 Moved\r\nLocation: /x\r\nConnection: keep-alive\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\t\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length : 5\r\n\r\n",
	"HTTP/1.1 200 O\rK\r\nfoo bar: \x00\r\n\r\n",
	"HTTP/1.1 +20 OK\r\nPragma: no-cache\r\n\r\n",
	"HTTP/0.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
}

// chunkSeeds are chunked contents, right and wrong.
var chunkSeeds = []string{
	"0\r\n\r\n",
	"5\r\nhello\r\n0\r\n\r\n",
	"1;a=b\r\nx\r\n00a \r\n0123456789\r\n0\r\nEtag: 1\r\nx-y: z\r\n w\r\n\r\nHTTP/1.1 200 OK\r\n",
	"1 ;a\r\nx\r\n0\r\nA: b\n\r\n",
	"ffffffffffffffff\r\nx",
	"1\nx\r\n0\r\n\n",
	"1\r\nx0\r\n\r\n",
}

func FuzzParseResponseHead(f *testing.F) {
	for _, in := range headSeeds {
		f.Add([]byte(in), 64)
	}
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		lim := Limits{Head: int64(limit), Fields: limit % 8}
		given := bytes.Clone(in)
		head, n, err := ParseResponseHead(in, lim)
		if n < 0 || n > len(in) || n > 0 && (err != nil || int64(n) > lim.withDefaults().Head) {
			t.Fatalf("consumed %d of %d: %v", n, len(in), err)
		}
		if !bytes.Equal(in, given) {
			t.Fatal("input was written to")
		}
		end, _ := HeadEnd(in, 0)
		if n > 0 && n != end {
			t.Fatalf("consumed %d, the empty line is at %d", n, end)
		}
		checkHead(t, head, n)
		if len(in) <= 512 {
			checkPieces(t, string(in), lim)
		}
	})
}

// checkHead checks what holds for any accepted head.
func checkHead(t *testing.T, head ResponseHead, n int) {
	if n == 0 {
		if head.Header != nil || head.Proto != "" {
			t.Fatalf("a head without octets: %+v", head)
		}
		return
	}
	if head.StatusCode < 0 || head.StatusCode > 999 || head.Header == nil || !isText(head.Status) {
		t.Fatalf("%+v", head)
	}
	for name, values := range head.Header {
		if http.CanonicalHeaderKey(name) != name || name == "" {
			t.Errorf("name %q is not canonical", name)
		}
		for _, v := range values {
			if !isText(v) || trimOWS(v) != v {
				t.Errorf("value %q of %q", v, name)
			}
		}
		if len(values) == 1 && cap(values) != 1 {
			t.Errorf("value of %q has spare capacity", name)
		}
	}
}

// checkPieces checks that the answer does not depend on how octets arrive.
func checkPieces(t *testing.T, in string, lim Limits) {
	for _, method := range []string{"GET", "HEAD"} {
		whole := readAnswer(method, lim, in)
		for i := 1; i < len(in); i += 1 + len(in)/16 {
			checkSame(t, whole, readAnswer(method, lim, in[:i], in[i:]))
		}
		checkSame(t, whole, readAnswer(method, lim, octetByOctet(in)...))
	}
}

func checkSame(t *testing.T, a, b answer) {
	t.Helper()
	if kindOf(a.err) != kindOf(b.err) || a.content != b.content || a.framing != b.framing {
		t.Fatalf("the split decides:\n%+v\n%+v", a, b)
	}
	if a.consumed != b.consumed && a.err == nil || !sameHeader(a.head.Header, b.head.Header) || !sameHeader(a.trailer, b.trailer) {
		t.Fatalf("the split decides:\n%+v\n%+v", a, b)
	}
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return true
}

func FuzzChunked(f *testing.F) {
	for _, in := range chunkSeeds {
		f.Add([]byte(in))
	}
	ours := AppendChunkEnd(append(AppendChunkHead(nil, 26), "abcdefghijklmnopqrstuvwxyz"...))
	f.Add(AppendLastChunk(ours, http.Header{"Etag": {"x"}, "X-Sum": {"1", "2"}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		if len(in) > 512 {
			return
		}
		whole := readAnswer("GET", Limits{}, head+string(in))
		for i := range in {
			checkSame(t, whole, readAnswer("GET", Limits{}, head+string(in[:i]), string(in[i:])))
		}
		checkSame(t, whole, readAnswer("GET", Limits{}, octetByOctet(head+string(in))...))
		if len(whole.content) > len(in) {
			t.Fatalf("%d octets of content in %d", len(whole.content), len(in))
		}
		if whole.err == nil {
			checkRecoded(t, whole)
		}
	})
}

// checkRecoded encodes what was decoded and decodes it again.
func checkRecoded(t *testing.T, a answer) {
	coded := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := 0; i < len(a.content); i += 3 {
		part := a.content[i:min(i+3, len(a.content))]
		coded = AppendChunkEnd(append(AppendChunkHead(coded, len(part)), part...))
	}
	if ValidateTrailer(a.trailer) != nil {
		return // framing fields are read, but never written
	}
	for name := range a.trailer {
		if isWrittenElsewhere(name) {
			return
		}
	}
	again := readAnswer("GET", Limits{}, string(AppendLastChunk(coded, a.trailer)))
	if again.err != nil || again.content != a.content || !sameHeader(again.trailer, a.trailer) {
		t.Fatalf("decoded %+v\nencoded %q\nand decoded %+v", a, coded, again)
	}
}

// Deliberate differences from http.ReadResponse, as its section in doc.go lists
// them, by what is in the octets.
var (
	signedCode     = regexp.MustCompile(`^HTTP/... +[+-]`)
	spacedFraming  = regexp.MustCompile(`(?i)\n(content-length|transfer-encoding) +:`)
	emptyFold      = regexp.MustCompile(`\n[ \t]+\r?\n`)
	spacedChunkExt = regexp.MustCompile(`[0-9a-fA-F][ \t]+;`)
	otherMajor     = regexp.MustCompile(`^HTTP/[^1]`)
)

// mayReject reports whether we are meant to reject what ReadResponse accepts.
func mayReject(in string, err error) bool {
	line, _, _ := strings.Cut(in, "\n")
	return signedCode.MatchString(in) || !isText(strings.TrimSuffix(line, "\r")) || spacedFraming.MatchString(in) ||
		strings.Contains(err.Error(), "trailer line")
}

// mayAccept reports whether we are meant to accept what ReadResponse rejects.
func mayAccept(in string) bool {
	return spacedChunkExt.MatchString(in) || meansSomethingElse(in)
}

// meansSomethingElse reports whether in is accepted by both, perhaps, but with
// another meaning.
func meansSomethingElse(in string) bool {
	return emptyFold.MatchString(in) || strings.HasPrefix(in, "HTTP/0.0")
}

func FuzzResponse(f *testing.F) {
	for _, in := range headSeeds {
		f.Add([]byte(in+"content of some length"), false)
	}
	for _, in := range chunkSeeds {
		f.Add([]byte("HTTP/1.1 200 OK\r\nTrailer: Etag\r\nTransfer-Encoding: chunked\r\n\r\n"+in), false)
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5 \r\n\r\nhelloHTTP/1.1"), true)
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), true)
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, close\r\nUpgrade: x\r\n\r\nx"), false)
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		if len(in) > 4096 {
			return // more than ReadResponse looks ahead for the end of trailers
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		compareWithNetHTTP(t, method, string(in))
	})
}

// compareWithNetHTTP reads one response with both and compares everything.
func compareWithNetHTTP(t *testing.T, method, in string) {
	a := readAnswer(method, Limits{}, in)
	r := strings.NewReader(in)
	br := bufio.NewReader(r)
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	var content []byte
	if err == nil {
		content, err = io.ReadAll(resp.Body)
	}
	switch {
	case a.err != nil && err != nil:
		return
	case a.err != nil:
		if !mayReject(in, a.err) {
			t.Fatalf("%q\nonly net/http accepts it: %v", in, a.err)
		}
		return
	case err != nil:
		if !mayAccept(in) {
			t.Fatalf("%q\nonly net/http rejects it: %v", in, err)
		}
		return
	}
	if meansSomethingElse(in) {
		return
	}
	if consumed := len(in) - r.Len() - br.Buffered(); consumed != a.consumed || string(content) != a.content {
		t.Fatalf("%q\nconsumed %d, net/http %d\ncontent %q\nnet/http %q", in, a.consumed, consumed, a.content, content)
	}
	compareHeads(t, in, a, resp)
}

func compareHeads(t *testing.T, in string, a answer, resp *http.Response) {
	if a.head.Status != resp.Status || a.head.StatusCode != resp.StatusCode || a.head.Proto != resp.Proto ||
		a.head.ProtoMajor != resp.ProtoMajor || a.head.ProtoMinor != resp.ProtoMinor {
		t.Fatalf("%q\nstatus line %+v\nnet/http %+v", in, a.head, resp)
	}
	if !sameHeader(a.head.Header, resp.Header) {
		t.Fatalf("%q\nheader %q\nnet/http %q", in, a.head.Header, resp.Header)
	}
	if a.transfer.ContentLength != resp.ContentLength || !slices.Equal(a.transfer.TransferEncoding, resp.TransferEncoding) {
		t.Fatalf("%q\n%+v\nnet/http %+v", in, a.transfer, resp)
	}
	if a.transfer.Close != resp.Close && !otherMajor.MatchString(in) {
		t.Fatalf("%q\nclose %v\nnet/http %v", in, a.transfer.Close, resp.Close)
	}
	trailer := http.Header{}
	for _, part := range []http.Header{a.transfer.Trailer, a.trailer} {
		for name, values := range part {
			trailer[name] = values
		}
	}
	if !sameHeader(trailer, resp.Trailer) {
		t.Fatalf("%q\ntrailer %q\nnet/http %q", in, trailer, resp.Trailer)
	}
}

func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "/", "example.com", "agent/1", "Accept", "*/*", "Content-Length", "5", int64(0), uint8(0))
	f.Add("POST", "http://h/?a=b", "h:80", "", "a b", "c", "transfer-encoding", "chunked", int64(5), uint8(1))
	f.Add("PUT", "*", "[::1]", " \r\n", "X", "\r\nY: z", "Host", "other", int64(-1), uint8(2))
	f.Add("G\nT", "/ HTTP/1.1\r\n\r\n", "a\r\nb", "\n", "Connection", "close", "connection", "close", int64(5), uint8(6))
	f.Fuzz(func(t *testing.T, method, target, host, agent, name1, value1, name2, value2 string, length int64, bits uint8) {
		h := &RequestHead{
			Method: method, Target: target, Host: host, UserAgent: agent,
			Header:  http.Header{name1: {value1}},
			Extra:   http.Header{name2: {value2, value1}},
			Framing: Framing{Kind: FramingKind(bits % 3), Length: length},
			Close:   bits&4 != 0,
			Trailer: http.Header{name1: nil},
		}
		out := AppendRequestHead([]byte("before"), h)
		if !bytes.HasPrefix(out, []byte("before")) {
			t.Fatalf("%q", out)
		}
		out = out[len("before"):]
		checkRequestOctets(t, out, h)
		if h.Validate() == nil {
			checkReadBack(t, out, h)
		}
	})
}

// checkRequestOctets checks what holds for valid and invalid requests: one head,
// and no more fields that frame or route it than intended.
func checkRequestOctets(t *testing.T, out []byte, h *RequestHead) {
	if end, _ := HeadEnd(out, 0); end != len(out) {
		t.Fatalf("%q is more than one head", out)
	}
	if crlf := bytes.Count(out, []byte("\r\n")); bytes.Count(out, []byte("\n")) != crlf || bytes.Count(out, []byte("\r")) != crlf {
		t.Fatalf("%q has a CR or LF of its own", out)
	}
	count := map[string]int{}
	lines := strings.Split(strings.TrimSuffix(string(out), "\r\n\r\n"), "\r\n")
	for _, line := range lines[1:] {
		name, _, ok := strings.Cut(line, ": ")
		if !ok || strings.Trim(name, " \t") != name {
			t.Fatalf("%q has a line that is not a field", out)
		}
		count[strings.ToLower(name)]++
	}
	want := map[FramingKind][2]int{NoContent: {0, 0}, Length: {1, 0}, Chunked: {0, 1}}[h.Framing.Kind]
	if count["host"] != 1 || count["content-length"] != want[0] || count["transfer-encoding"] != want[1] || count["trailer"] > 1 {
		t.Fatalf("%q has framing fields that %+v does not ask for", out, h)
	}
}

// checkReadBack reads a valid request as a server would.
func checkReadBack(t *testing.T, out []byte, h *RequestHead) {
	if _, err := url.ParseRequestURI(h.Target); err != nil || h.Method == "CONNECT" {
		return // valid octets, but not what http.ReadRequest takes
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if req.Method != h.method() || req.RequestURI != h.Target {
		t.Fatalf("%q: read back as %s %s", out, req.Method, req.RequestURI)
	}
	if absolute := req.URL.Host != ""; !absolute && req.Host != h.Host {
		t.Fatalf("%q: read back for host %q", out, req.Host)
	}
	if h.Framing.Kind == Length && req.ContentLength != h.Framing.Length {
		t.Fatalf("%q: read back with length %d", out, req.ContentLength)
	}
	for _, header := range []http.Header{h.Header, h.Extra} {
		for name, values := range header {
			for _, v := range values {
				got := req.Header.Values(name)
				if !isWrittenElsewhere(name) && !strings.EqualFold(name, "User-Agent") && !slices.Contains(got, trimOWS(v)) {
					t.Fatalf("%q: %q read back as %q", out, name, got)
				}
			}
		}
	}
}
