package wire

import (
	"net/http"
	"net/url"
	"testing"
)

// TestAllocations keeps the promises made in comments. One allocation each: the
// octets as a string, the slab of values, the map, and its first group of slots.
func TestAllocations(t *testing.T) {
	plain, lower, twice := []byte(typicalHead), []byte(lowerHead), []byte(typicalHead[:len(typicalHead)-2]+"Vary: Cookie\r\n\r\n")
	odd := []byte("HTTP/1.1 200 OK\r\nETag: x\r\nCONTENT-LENGTH: 0\r\nX-XSS-Protection: 0\r\nX-Made-Up: here\r\n\r\n")
	chunks := []byte("5;ext=1\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n")
	buf := make([]byte, 0, 4096)
	head := &RequestHead{
		Target: "/", Host: "example.com", UserAgent: "x", Close: true, Framing: Framing{Kind: Length, Length: 5},
		Header: http.Header{"E": {"5"}, "D": {"4"}, "Accept": {"*/*"}, "C": {"3", "4"}, "B": {"2\n"}}, Extra: http.Header{"A": {"1"}},
	}
	valid := &RequestHead{Target: "/", Host: "example.com", Header: http.Header{"A": {"b"}}, Extra: http.Header{"C": {"d"}}}
	u := &url.URL{Scheme: "http", Host: "example.com", Path: "/a/b"}
	response, _, _ := ParseResponseHead(plain, Limits{})

	for _, test := range []struct {
		name string
		max  float64
		run  func()
	}{
		{"typical head", 4, func() { mustParse(t, plain) }},
		{"names in lower case", 4, func() { mustParse(t, lower) }},
		{"odd capitals, and a name of its own", 4, func() { mustParse(t, odd) }},
		{"a repeated field", 8, func() { mustParse(t, twice) }},
		{"incomplete head", 0, func() { _, _, _ = ParseResponseHead(plain[:10], Limits{}) }},
		{"framing", 0, func() { _, _ = ResponseFraming("GET", &response) }},
		{"keep alive", 0, func() { response.KeepAlive() }},
		{"transfer", 0, func() { _, _ = response.TakeTransfer("GET", Framing{Kind: Length, Length: 1234}) }},
		{"chunks", 0, func() { mustDecode(t, chunks) }},
		{"request head", 0, func() { buf = AppendRequestHead(buf[:0], head) }},
		{"validate", 0, func() { _ = valid.Validate() }},
		{"target", 0, func() { _, _ = RequestTarget("GET", u, "example.com", false) }},
		{"host", 0, func() { _, _ = RequestHost("[::1]:80", false) }},
		{"chunk out", 0, func() { buf = AppendLastChunk(AppendChunkEnd(AppendChunkHead(buf[:0], 5000)), nil) }},
	} {
		if got := testing.AllocsPerRun(100, test.run); got > test.max {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.max)
		}
	}
}

// TestAThirdOfTheAllocations compares with net/http: what is allocated is what
// the speed rests on, and unlike it can be counted.
func TestAThirdOfTheAllocations(t *testing.T) {
	check := func(name string, ours, theirs func()) {
		a, b := testing.AllocsPerRun(100, ours), testing.AllocsPerRun(100, theirs)
		if 3*a > b {
			t.Errorf("%s: %v allocations, net/http %v", name, a, b)
		}
	}
	for _, msg := range []string{typicalHead, lowerHead} {
		ours, theirs := parsing(t, msg)
		check("response head", ours, theirs)
	}
	ours, theirs := writing(t)
	check("request head", ours, theirs)
}

// parsedHead keeps what is parsed reachable, as a caller would.
var parsedHead ResponseHead

func mustParse(t *testing.T, b []byte) {
	head, n, err := ParseResponseHead(b, Limits{})
	if n != len(b) || err != nil {
		t.Fatal(n, err)
	}
	parsedHead = head
}

func mustDecode(t *testing.T, b []byte) {
	var d ChunkedDecoder
	for !d.Done() {
		_, n, err := d.Next(b)
		if n == 0 || err != nil {
			t.Fatal(n, err)
		}
		b = b[n:]
	}
}
