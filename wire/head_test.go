package wire

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wantedHead is a head as ParseResponseHead makes it.
func wantedHead(proto string, major, minor, code int, status string, h http.Header) ResponseHead {
	var names, repeated NameSet
	for name, values := range h {
		names.Add(name)
		if len(values) > 1 {
			repeated.Add(name)
		}
	}
	return ResponseHead{proto, major, minor, code, status, h, names, repeated}
}

func TestParseResponseHead(t *testing.T) {
	type header = http.Header
	for _, test := range []struct {
		name, in string
		want     ResponseHead
	}{
		{"no fields", "HTTP/1.1 200 OK\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{})},
		{"HTTP/1.0", "HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n",
			wantedHead("HTTP/1.0", 1, 0, 404, "404 Not Found", header{"Server": {"x"}})},
		{"empty reason", "HTTP/1.1 200 \r\nA: b\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 ", header{"A": {"b"}})},
		{"no reason and no space", "HTTP/1.1 200\r\nA: b\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200", header{"A": {"b"}})},
		{"more spaces before the code", "HTTP/1.1   200 Fine  by me\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 Fine  by me", header{})},
		{"reason in UTF-8 with HTAB", "HTTP/1.1 200 \xc3\xa4\t!\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 \xc3\xa4\t!", header{})},
		{"a code that means nothing", "HTTP/1.1 099 ?\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 99, "099 ?", header{})},
		{"a version from the future", "HTTP/1.7 200 OK\r\n\r\n",
			wantedHead("HTTP/1.7", 1, 7, 200, "200 OK", header{})},
		{"bare LF", "HTTP/1.1 200 OK\nA: b\nC: d\r\n\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"b"}, "C": {"d"}})},
		{"white space around values", "HTTP/1.1 200 OK\r\nA:b\r\nC: \t d \t\r\nE:\r\nF:  \r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"b"}, "C": {"d"}, "E": {""}, "F": {""}})},
		{"capitals", "HTTP/1.1 200 OK\r\netag: 1\r\nCONTENT-TYPE: x\r\nx-own-name: 2\r\nwWw-aUTHENTICATE: y\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"Etag": {"1"}, "Content-Type": {"x"}, "X-Own-Name": {"2"}, "Www-Authenticate": {"y"}})},
		{"repeated fields", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVia: x\r\nset-cookie: b=2\r\nSet-Cookie: c=3\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"Set-Cookie": {"a=1", "b=2", "c=3"}, "Via": {"x"}})},
		{"folded values", "HTTP/1.1 200 OK\r\nA: b \t\r\n  c \r\n\td\r\nE:\r\n f\n g\r\nH: i\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"b c d"}, "E": {"f g"}, "H": {"i"}})},
		{"empty folded line", "HTTP/1.1 200 OK\r\nA: b\r\n \r\nC:\r\n \r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"b"}, "C": {""}})},
		{"spaces in names", "HTTP/1.1 200 OK\r\nfoo bar: 1\r\nQux : 2\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"foo bar": {"1"}, "Qux ": {"2"}})},
		{"colons and octets above 127", "HTTP/1.1 200 OK\r\nA: b:c\xff\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"b:c\xff"}})},
		{"HTAB in a long value", "HTTP/1.1 200 OK\r\nA: 0123456\t01234567\t\t89012345678\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"A": {"0123456\t01234567\t\t89012345678"}})},
		{"Pragma", "HTTP/1.1 200 OK\r\nPragma: no-cache\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"Pragma": {"no-cache"}, "Cache-Control": {"no-cache"}})},
		{"Pragma with Cache-Control", "HTTP/1.1 200 OK\r\nPragma: no-cache\r\nCache-Control: public\r\n\r\n",
			wantedHead("HTTP/1.1", 1, 1, 200, "200 OK", header{"Pragma": {"no-cache"}, "Cache-Control": {"public"}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			const behind = "HTTP/1.1 500 the next response\r\n\r\n"
			head, n, err := ParseResponseHead([]byte(test.in+behind), Limits{})
			require.NoError(t, err)
			require.Equal(t, len(test.in), n)
			require.Equal(t, test.want, head)
			everySplit(test.in, func(reads []string) {
				parseInPieces(t, reads, test.want)
			})
		})
	}
}

// parseInPieces parses a head that arrives as reads. The scanner must ask for
// more until the last octet is there, and not keep any of the octets.
func parseInPieces(t *testing.T, reads []string, want ResponseHead) {
	t.Helper()
	var s HeadScanner
	var arrived []byte
	total := len(strings.Join(reads, ""))
	for _, octets := range reads {
		arrived = append(arrived, octets...)
		head, n, err := s.Parse(arrived, Limits{})
		require.NoError(t, err)
		if len(arrived) < total {
			require.Zero(t, n, "parsed %q of %q", arrived, reads)
			continue
		}
		clear(arrived)
		require.Equal(t, total, n)
		require.Equal(t, want, head)
		require.Equal(t, HeadScanner{}, s, "not ready for the next head")
		return
	}
}

func TestMalformedHead(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct{ name, in, text string }{
		{"no space", "HTTP/1.1\r\n\r\n", `malformed HTTP response "HTTP/1.1"`},
		{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "malformed HTTP response"},
		{"HTML", "<html>\r\n\r\n", `malformed HTTP response "<html>`},
		{"HTTP/2 frame", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n", `malformed HTTP response "\x00\x00\x12\x04`},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", `malformed HTTP status code "20"`},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", `malformed HTTP status code "2000"`},
		{"sign", "HTTP/1.1 +20 OK\r\n\r\n", `malformed HTTP status code "+20"`},
		{"letter", "HTTP/1.1 20X OK\r\n\r\n", `malformed HTTP status code "20X"`},
		{"no code", "HTTP/1.1 \r\n\r\n", `malformed HTTP status code`},
		{"HTAB in place of space", "HTTP/1.1\t200 OK\r\n\r\n", `malformed HTTP status code "OK"`},
		{"short version", "HTTP/1 200 OK\r\n\r\n", `malformed HTTP version "HTTP/1"`},
		{"long version", "HTTP/1.10 200 OK\r\n\r\n", `malformed HTTP version "HTTP/1.10"`},
		{"comma in version", "HTTP/1,1 200 OK\r\n\r\n", `malformed HTTP version "HTTP/1,1"`},
		{"lower case version", "http/1.1 200 OK\r\n\r\n", `malformed HTTP version "http/1.1"`},
		{"another protocol", "ICY 200 OK\r\n\r\n", `malformed HTTP version "ICY"`},
		{"CR in status line", "HTTP/1.1 200 O\rK\r\n\r\n", `malformed HTTP response`},
		{"NUL in status line", "HTTP/1.1 200 O\x00K\r\n\r\n", `malformed HTTP response`},
		{"DEL in status line", "HTTP/1.1 200 O\x7fK\r\n\r\n", `malformed HTTP response`},
		{"space before first field", ok + " A: b\r\n\r\n", "malformed MIME header initial line"},
		{"HTAB before first field", ok + "\tA: b\r\n\r\n", "malformed MIME header initial line"},
		{"no colon", ok + "A b\r\n\r\n", "malformed MIME header: missing colon"},
		{"no colon, folded", ok + "A\r\n : b\r\n\r\n", "malformed MIME header: missing colon"},
		{"no colon in last line", ok + "A: b\r\nC\r\n\r\n", "malformed MIME header: missing colon"},
		{"no name", ok + ": b\r\n\r\n", `malformed MIME header line: field name ""`},
		{"HTAB behind name", ok + "A\t: b\r\n\r\n", `malformed MIME header line: field name "A\t"`},
		{"octet above 127 in name", ok + "\xc3\xa4: b\r\n\r\n", `malformed MIME header line: field name "ä"`},
		{"octet above 127 in lower-case name", ok + "a\xff: b\r\n\r\n", `malformed MIME header line: field name "a\xff"`},
		{"NUL in value", ok + "A: b\x00c\r\n\r\n", `control octet in the value of "A"`},
		{"NUL far into a value", ok + "A: 0123456789abcd\tfghijklmnopq\x00c\r\n\r\n", `control octet in the value of "A"`},
		{"DEL in value", ok + "A: 0123456789\x7f123456789\r\n\r\n", `control octet in the value of "A"`},
		{"bare CR in value", ok + "A: b\rc\r\n\r\n", `control octet in the value of "A"`},
		{"two CRs", ok + "A: b\r\r\n\r\n", `control octet in the value of "A"`},
		{"CR in place of the empty line", ok + "A: b\r\n\r\r\n\r\n", "malformed MIME header: missing colon"},
		{"NUL in folded value", ok + "A: b\r\n c\x00\r\n\r\n", `control octet in the value of "A"`},
		{"bare CR before a fold", ok + "A: b\r\r\n c\r\n\r\n", `control octet in the value of "A"`},
		{"bare CR at the end of a folded line", ok + "A: b\r\n c\r\t\r\n\r\n", `control octet in the value of "A"`},
		{"space behind Content-Length", ok + "Content-Length : 5\r\n\r\n", `field name "Content-Length "`},
		{"space behind content-length", ok + "content-length  : 5\r\n\r\n", `field name "content-length  "`},
		{"space behind Transfer-Encoding", ok + "TRANSFER-ENCODING : chunked\r\n\r\n", `field name "TRANSFER-ENCODING "`},
	} {
		t.Run(test.name, func(t *testing.T) {
			head, n, err := ParseResponseHead([]byte(test.in), Limits{})
			wantError(t, err, "*wire.SyntaxError", test.text)
			require.Zero(t, n)
			require.Zero(t, head)
			everySplit(test.in, func(reads []string) {
				a := readAnswer("GET", Limits{}, reads...)
				require.Equal(t, "*wire.SyntaxError", kindOf(a.err), "%q", reads)
			})
		})
	}
}

// What cannot become a head is an error before the head is complete: the peer
// may send nothing more.
func TestGarbageIsReportedAtOnce(t *testing.T) {
	for _, in := range []string{"X", "HTTP/1.1 2\r\n", "HTT\n", "\r", "HTTP 1", "HTTP/1.1 200 \x00\n", "HTTP/x.1 200 OK\n"} {
		_, n, err := ParseResponseHead([]byte(in), Limits{})
		require.Zero(t, n)
		require.Equal(t, "*wire.SyntaxError", kindOf(err), "%q", in)
	}
	for _, in := range []string{"", "H", "HTTP/", "HTTP/1.1 2", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\nA: \x00"} {
		_, n, err := ParseResponseHead([]byte(in), Limits{})
		require.Zero(t, n)
		require.NoError(t, err, "%q", in)
	}
}

func TestHeadLimit(t *testing.T) {
	const in = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
	exact := Limits{Head: int64(len(in))}
	_, n, err := ParseResponseHead([]byte(in+"more"), exact)
	require.NoError(t, err)
	require.Equal(t, len(in), n)

	tight := Limits{Head: int64(len(in)) - 1}
	everySplit(in, func(reads []string) {
		a := readAnswer("GET", tight, reads...)
		wantError(t, a.err, "*wire.LimitError", "server response headers exceeded 29 bytes")
	})
	// Before the end arrives: as soon as it cannot come in time any more.
	_, _, err = ParseResponseHead([]byte(in[:len(in)-2]), tight)
	require.NoError(t, err)
	_, _, err = ParseResponseHead([]byte(in[:len(in)-1]), tight)
	wantError(t, err, "*wire.LimitError", "29 bytes")
}

func TestFieldLimit(t *testing.T) {
	head := func(fields int) []byte {
		return []byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("a:\n", fields) + "\r\n")
	}
	_, n, err := ParseResponseHead(head(DefaultFieldLimit), Limits{})
	require.NoError(t, err)
	require.Equal(t, len(head(DefaultFieldLimit)), n)
	_, _, err = ParseResponseHead(head(DefaultFieldLimit+1), Limits{})
	wantError(t, err, "*wire.LimitError", "10000 fields")
	_, _, err = ParseResponseHead(head(3), Limits{Fields: 2})
	wantError(t, err, "*wire.LimitError", "2 fields")
}

// A head may have more fields than memory is set aside for at first.
func TestManyFields(t *testing.T) {
	in := "HTTP/1.1 200 OK\r\n"
	want := http.Header{}
	for i := range 3*sizeHint + 1 {
		name := "X-" + strings.Repeat("a", i%40+1) + strings.Repeat("b", i/40)
		in += name + ": 1\r\n"
		want[http.CanonicalHeaderKey(name)] = []string{"1"}
	}
	head, _, err := ParseResponseHead([]byte(in+"\r\n"), Limits{})
	require.NoError(t, err)
	require.Equal(t, want, head.Header)
	require.Len(t, head.Header, 3*sizeHint+1)
}

// Appending to one field's values must not reach another field's.
func TestAppendingToValuesDoesNotReachNeighbours(t *testing.T) {
	const in = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\r\n"
	head, _, err := ParseResponseHead([]byte(in), Limits{})
	require.NoError(t, err)
	want := http.Header{"A": {"1", "3"}, "B": {"2"}, "C": {"4"}}
	require.Equal(t, want, head.Header)
	for name := range head.Header {
		_ = append(head.Header[name], "overwritten")
		require.Equal(t, want, head.Header)
	}
}

func TestHeadEnd(t *testing.T) {
	for _, in := range []string{"a\r\n\r\n", "a\n\n", "a\n\r\n", "\n\n", "\r\n\r\n", "a\r\nb\n c\r\n\r\n", "a\n\rb\n\n"} {
		end, _ := HeadEnd([]byte(in+"x"), 0)
		require.Equal(t, len(in), end, "%q", in)
		everySplit(in, func(reads []string) {
			var arrived []byte
			end, next := 0, 0
			for _, octets := range reads {
				require.Zero(t, end)
				arrived = append(arrived, octets...)
				last := next
				end, next = HeadEnd(arrived, next)
				require.GreaterOrEqual(t, next, last)
				require.LessOrEqual(t, next, len(arrived))
				if len(arrived) == len(in) {
					break
				}
			}
			require.Equal(t, len(in), end, "%q", reads)
		})
	}
}

// HeadEnd works on eight octets at a time; it must find each end at each place,
// and nothing that only looks like one.
func TestHeadEndAtEachPlace(t *testing.T) {
	slow := func(s string) int {
		for i := range len(s) {
			for _, end := range []string{"\n\n", "\n\r\n"} {
				if strings.HasPrefix(s[i:], end) {
					return i + len(end)
				}
			}
		}
		return 0
	}
	check := func(s string) {
		if end, _ := HeadEnd([]byte(s), 0); end != slow(s) {
			t.Fatalf("HeadEnd(%q) = %d, want %d", s, end, slow(s))
		}
	}
	for _, mark := range []string{"\n\n", "\n\r\n", "\r\n\r\n", "\n\r", "\n\ra\n\n", "\n\t\n\n", "\n\v", "\n\x8a\n\r\n", "\x8a\n\x8d"} {
		for before := range 20 {
			for behind := range 12 {
				check(strings.Repeat("a", before) + mark + strings.Repeat("b", behind))
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = "aaaaaa\n\r\r\t\x8a\x8d\x00\xff"[r.IntN(14)]
		}
		check(string(b))
	}
}

// A head that trickles in must not be looked at from its beginning again and
// again: what was passed over is not looked at a second time.
func TestHeadEndResumes(t *testing.T) {
	b := []byte("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1000))
	_, next := HeadEnd(b, 0)
	require.Equal(t, len(b), next)
	copy(b, "\n\n\n\n") // already passed over
	b = append(b, "\r\n\r\n"...)
	end, _ := HeadEnd(b, next)
	require.Equal(t, len(b), end)
}

func TestKeepAlive(t *testing.T) {
	for _, test := range []struct {
		version, connection string
		want                bool
	}{
		{"HTTP/1.1", "", true},
		{"HTTP/1.1", "Connection: close\r\n", false},
		{"HTTP/1.1", "Connection: Keep-Alive , CLOSE\r\n", false},
		{"HTTP/1.1", "Connection: foo\r\nconnection: close\r\n", false},
		{"HTTP/1.1", "Connection: closed\r\n", true},
		{"HTTP/1.1", "Connection: upgrade\r\n", true},
		{"HTTP/1.2", "", true},
		{"HTTP/1.0", "", false},
		{"HTTP/1.0", "Connection: keep-alive\r\n", true},
		{"HTTP/1.0", "Connection: Keep-Alive\r\n", true},
		{"HTTP/1.0", "Connection: keep-alive, close\r\n", false},
		{"HTTP/0.9", "Connection: keep-alive\r\n", false},
		{"HTTP/2.0", "", false},
		{"HTTP/2.0", "Connection: keep-alive\r\n", false},
	} {
		head, n, err := ParseResponseHead([]byte(test.version+" 200 OK\r\n"+test.connection+"\r\n"), Limits{})
		require.NoError(t, err)
		require.NotZero(t, n)
		require.Equal(t, test.want, head.KeepAlive(), "%s %q", test.version, test.connection)
	}
}

// Whatever the capitals, names mean what they mean in net/http.
func TestCanonicalNames(t *testing.T) {
	names := []string{"a", "-", "--a", "x-1-y", "etag", "p3p", "x_y-z", strings.Repeat("ab-", 40)}
	for _, name := range commonNameList {
		require.Equal(t, http.CanonicalHeaderKey(name), name)
		names = append(names, name, strings.ToLower(name), strings.ToUpper(name))
	}
	for _, name := range names {
		require.Equal(t, http.CanonicalHeaderKey(name), canonicalName(name))
	}
}

// Common names are looked up whatever their capitals, which differ from each other
// in one bit. In an octet that is not a letter that bit makes another name.
func TestNothingElsePassesForACommonName(t *testing.T) {
	for _, name := range commonNameList {
		for i := range len(name) {
			other := []byte(name)
			other[i] ^= 0x20
			isLetter := octets[name[i]]&(isLowerOctet|isUpperOctet) != 0
			if got := canonicalName(string(other)); (got == name) != isLetter {
				t.Errorf("%q becomes %q", other, got)
			}
		}
	}
}

// The names that most responses have must not cost each other a look-up.
func TestCommonNamesHaveBitsOfTheirOwn(t *testing.T) {
	var seen NameSet
	for _, name := range []string{
		"Accept-Ranges", "Access-Control-Allow-Origin", "Age", "Alt-Svc", "Cache-Control", "Connection",
		"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Security-Policy",
		"Content-Type", "Date", "Etag", "Expires", "Keep-Alive", "Last-Modified", "Location", "Pragma",
		"Referrer-Policy", "Server", "Set-Cookie", "Strict-Transport-Security", "Transfer-Encoding", "Vary", "Via",
		"X-Cache", "X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Request-Id", "X-Xss-Protection",
	} {
		if seen.MayHave(name) {
			t.Errorf("the bit of %q is taken", name)
		}
		seen.Add(name)
	}
}

func TestValues(t *testing.T) {
	const in = "HTTP/1.1 200 OK\r\nA: 1\r\nServer: x\r\nA: 2\r\n\r\n"
	head, _, err := ParseResponseHead([]byte(in), Limits{})
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2"}, head.Values("A"))
	require.Nil(t, head.Values("Connection"))
	for c := range 256 { // some have the bit of a name that is there
		require.Nil(t, head.Values(string([]byte{'X', byte(c)})))
	}
	head.Header.Del("Server")
	require.Nil(t, head.Values("Server"))

	made := ResponseHead{Header: http.Header{"B": {"3"}}}
	require.Equal(t, []string{"3"}, made.Values("B"))
}

// textEnd works on eight octets at a time; it must find each control octet at
// each place, whatever is around it.
func TestTextEnd(t *testing.T) {
	for c := range 256 {
		for _, around := range []byte{' ', 'a', 0x7e, 0x80, 0xff, '\t'} {
			for size := range 20 {
				for at := range size {
					b := []byte(strings.Repeat(string([]byte{around}), size))
					b[at] = byte(c)
					want := size
					if c < ' ' && c != '\t' || c == 0x7f {
						want = at
					}
					if got := textEnd(string(b)); got != want {
						t.Fatalf("textEnd(%q) = %d, want %d", b, got, want)
					}
				}
			}
		}
	}
}

func TestErrorTexts(t *testing.T) {
	long := "HTTP/1.1 " + strings.Repeat("x", 1000) + "\r\n\r\n"
	_, _, err := ParseResponseHead([]byte(long), Limits{})
	var syntax *SyntaxError
	require.True(t, errors.As(err, &syntax))
	require.Len(t, syntax.Octets, 64)

	const secret = "SECRET"
	for _, in := range []string{
		"Set-Cookie: " + secret + "\x00", "Set-Cookie " + secret, "Set-Cookie\x00: " + secret,
		"Set-Cookie: \x7f\r\n " + secret, "A: b\r\n" + secret + "\x01",
	} {
		_, _, err := ParseResponseHead([]byte("HTTP/1.1 200 OK\r\n"+in+"\r\n\r\n"), Limits{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
}
