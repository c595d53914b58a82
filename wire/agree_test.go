package wire

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Pieces that random responses are put together from. What matters comes more
// often; what is wrong comes now and then.
var (
	somePieces = map[string][]string{
		"end":     {"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n"},
		"badEnd":  {"\r", "\r\r\n", "\n\r", "", " \r\n", "\t\n"},
		"version": {"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "HTTP/1", "http/1.1", "HTTP/1.x"},
		"code":    {"200", "200", "200", "200", "204", "304", "101", "103", "404", "000", "999", "+20", "20", "2000", " 200", "", "-00", "0x1"},
		"reason":  {" OK", " OK", "", " ", "  two words ", " \xff", "\tx", " \x00", " a\rb", " \x7f"},
		"name": {"Content-Length", "Content-Length", "content-length", "Transfer-Encoding", "Transfer-Encoding", "TRANSFER-ENCODING",
			"Connection", "Connection", "Trailer", "Pragma", "Cache-Control", "Set-Cookie", "Etag", "x-a", "X-a-B", "x_y!", "1",
			"Content-Length ", "Transfer-Encoding  ", "a b", "Connection ", "", "a\t", "\xc3\xa4", "a\x00", "Keep-Alive"},
		"colon": {":", ": ", ": ", ": ", ":\t ", " :", "", "::"},
		"value": {"5", "5", "0", "7", "chunked", "chunked", "Chunked", "close", "keep-alive", "Keep-Alive, close", "no-cache", "x",
			"", "5, 5", "+5", " 5", "05", "gzip, chunked", "identity", "x\ty", "\xff", "a\x00", "a\rb", "Etag, x-t", "Content-Length", "99999999999999999999", "0x5", "a long value of some more than twenty octets"},
		"fold":  {" x", "\t", "  \t y ", " "},
		"chunk": {"5", "5", "5", "5", "0005", "5;a=b", "5 ", "5; a", "5 ;a", "", "g", "4", "6", "+5", "0x5", "00000000000000005", "ffffffffffffffff", "5\r", "5;\r"},
		"last":  {"0", "0", "0", "0", "00", "0;x", "0 ", "", "1"},
		"rest":  {"", "HTTP/1.1 200 OK\r\n\r\n", "hello", "\r\n", "\n"},
	}
	someLines = []string{"Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Connection: close", "Trailer: Etag"}
)

// A responseMaker puts random responses together.
type responseMaker struct {
	*rand.Rand
	b strings.Builder
}

func (m *responseMaker) write(kind string) {
	pieces := somePieces[kind]
	if kind != "end" && m.IntN(3) > 0 { // mostly the first, which is right
		m.b.WriteString(pieces[m.IntN(min(4, len(pieces)))])
		return
	}
	m.b.WriteString(pieces[m.IntN(len(pieces))])
}

func (m *responseMaker) end() {
	if m.IntN(60) == 0 {
		m.write("badEnd")
		return
	}
	m.write("end")
}

func (m *responseMaker) fields(n int) {
	for range n {
		if m.IntN(2) == 0 {
			m.b.WriteString(someLines[m.IntN(len(someLines))])
		} else {
			m.write("name")
			m.write("colon")
			m.write("value")
		}
		m.end()
		for m.IntN(8) == 0 {
			m.write("fold")
			m.end()
		}
	}
}

func (m *responseMaker) response() string {
	m.b.Reset()
	m.write("version")
	m.b.WriteString(" ")
	m.write("code")
	m.write("reason")
	m.end()
	m.fields(m.IntN(5))
	m.end()
	for range m.IntN(3) {
		m.write("chunk")
		m.end()
		m.b.WriteString("hello")
		m.end()
	}
	m.write("last")
	m.end()
	if m.IntN(4) == 0 {
		m.fields(m.IntN(3))
	}
	m.end()
	m.write("rest")
	return m.b.String()
}

// damage changes an octet of one response in eight.
func (m *responseMaker) damage(in string) string {
	if m.IntN(8) != 0 {
		return in
	}
	b := []byte(in)
	odd := "\r\n\x00\t :;5\x7f\xff"
	b[m.IntN(len(b))] = odd[m.IntN(len(odd))]
	return string(b)
}

// TestRandomResponses compares with net/http what a fuzzer would take long to
// find: responses that are nearly right.
func TestRandomResponses(t *testing.T) {
	m := &responseMaker{Rand: rand.New(rand.NewPCG(1, 2))}
	accepted := 0
	const rounds = 40_000
	for range rounds {
		in := m.damage(m.response())
		method := []string{"GET", "GET", "GET", "HEAD", "POST"}[m.IntN(5)]
		compareWithNetHTTP(t, method, in)
		whole := readAnswer(method, Limits{}, in)
		cut := m.IntN(len(in))
		checkSame(t, whole, readAnswer(method, Limits{}, in[:cut], in[cut:]))
		if whole.err == nil {
			accepted++
		}
	}
	if accepted < rounds/10 || accepted > rounds*9/10 {
		t.Errorf("%d of %d responses are acceptable: the test looks at one side only", accepted, rounds)
	}
}
