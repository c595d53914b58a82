package wire

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestChunkedDecoder(t *testing.T) {
	type header = http.Header
	for _, test := range []struct {
		name, in, content string
		trailer           header
	}{
		{"empty", "0\r\n\r\n", "", nil},
		{"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", nil},
		{"three chunks", "1\r\na\r\n2\r\nbc\r\n00A\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", nil},
		{"hexadecimal", "a\r\n0123456789\r\nF\r\n0123456789abcde\r\n0\r\n\r\n", "01234567890123456789abcde", nil},
		{"CRLF in content", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", nil},
		{"zeros", "0000000000000001\r\nx\r\n0000\r\n\r\n", "x", nil},
		{"extensions", "1;a\r\nx\r\n1;a=b;c=\"d;e\"\r\ny\r\n0;last\r\n\r\n", "xy", nil},
		{"white space", "1 \r\nx\r\n1\t ;a\r\ny\r\n1; a\r\nz\r\n0 \r\n\r\n", "xyz", nil},
		{"trailer", "1\r\nx\r\n0\r\nEtag: 1\r\nx-sum: 2\r\nX-Sum: 3\r\n\r\n", "x", header{"Etag": {"1"}, "X-Sum": {"2", "3"}}},
		{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "", header{"A": {"b c"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := readAnswer("GET", Limits{}, chunkedHead+test.in+"HTTP/1.1 500 the next response\r\n\r\n")
			require.NoError(t, whole.err)
			require.Equal(t, len(chunkedHead+test.in), whole.consumed)
			everySplit(test.in, func(reads []string) {
				a := readAnswer("GET", Limits{}, append([]string{chunkedHead}, reads...)...)
				require.NoError(t, a.err, "%q", reads)
				require.Equal(t, test.content, a.content)
				require.Equal(t, test.trailer, a.trailer)
				require.Equal(t, len(chunkedHead+test.in), a.consumed)
			})
			for i := range test.in {
				a := readAnswer("GET", Limits{}, chunkedHead+test.in[:i])
				require.ErrorIs(t, a.err, errMore, "complete after %q", test.in[:i])
			}
		})
	}
}

func TestMalformedChunks(t *testing.T) {
	for _, test := range []struct{ name, in, text string }{
		{"no size", "\r\nx", "empty hex number for chunk length"},
		{"extension without size", ";a\r\n", "invalid byte in chunk length"},
		{"space before size", " 1\r\nx\r\n", "invalid byte in chunk length"},
		{"sign", "+1\r\nx\r\n", `invalid byte in chunk length "+"`},
		{"0x", "0x1\r\nx\r\n", `invalid byte in chunk length "x"`},
		{"not hexadecimal", "g\r\n", "invalid byte in chunk length"},
		{"octet above 127", "1\xff\r\n", `invalid byte in chunk length "\xff"`},
		{"digit behind space", "1 1\r\nx\r\n", "invalid byte behind chunk length"},
		{"17 digits", "00000000000000001\r\nx\r\n", "http chunk length too large"},
		{"2^63", "8000000000000000\r\nx", "http chunk length too large"},
		{"2^64-1", "FFFFFFFFFFFFFFFF\r\nx", "http chunk length too large"},
		{"bare LF behind size", "1\nx\r\n", "bare LF"},
		{"bare LF behind space", "1 \nx\r\n", "bare LF"},
		{"bare LF behind extension", "1;a\nx\r\n", "bare LF"},
		{"bare LF behind last chunk", "0\n\r\n", "bare LF"},
		{"bare LF before size", "\n1\r\nx\r\n", "bare LF"},
		{"bare CR in size line", "1\rx\r\nx\r\n", "invalid CR in chunked line"},
		{"bare CR in extension", "1;a\rb\r\nx\r\n", "invalid CR in chunked line"},
		{"two CRs", "1\r\r\nx\r\n", "invalid CR in chunked line"},
		{"chunk too long", "1\r\nxy\r\n", "no CRLF behind a chunk"},
		{"chunk too short", "3\r\nx\r\n0\r\n\r\n", "no CRLF behind a chunk"},
		{"bare LF behind content", "1\r\nx\n0\r\n\r\n", "no CRLF behind a chunk"},
		{"bare CR behind content", "1\r\nx\rx0\r\n\r\n", "no CRLF behind a chunk"},
		{"bare LF in trailer line", "0\r\nA: b\n\r\n", "trailer line ends with bare LF"},
		{"bare LF at trailer's end", "0\r\nA: b\r\n\n", "trailer line ends with bare LF"},
		{"bare LF without trailer", "0\r\n\n", "trailer line ends with bare LF"},
		{"bare CR in trailer", "0\r\nA: b\rc\r\n\r\n", "invalid CR in a trailer line"},
		{"bare CR at trailer's end", "0\r\n\rA", "invalid CR in a trailer line"},
		{"trailer begins with space", "0\r\n A: b\r\n\r\n", "malformed MIME header initial line"},
		{"trailer without colon", "0\r\nA\r\n\r\n", "missing colon"},
		{"another response in trailer", "0\r\nHTTP/1.1 200 OK\r\n\r\n", "missing colon"},
		{"NUL in trailer", "0\r\nA: \x00\r\n\r\n", `control octet in the value of "A"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := readAnswer("GET", Limits{}, chunkedHead+test.in)
			wantError(t, whole.err, "*wire.SyntaxError", test.text)
			everySplit(test.in, func(reads []string) {
				a := readAnswer("GET", Limits{}, append([]string{chunkedHead}, reads...)...)
				wantError(t, a.err, "*wire.SyntaxError", test.text)
				require.Equal(t, whole.content, a.content)
			})
		})
	}
}

func TestChunkedErrorsAreFinal(t *testing.T) {
	var d ChunkedDecoder
	_, n, first := d.Next([]byte("x"))
	require.Error(t, first)
	require.Zero(t, n)
	for _, in := range []string{"", "1\r\nx\r\n0\r\n\r\n"} {
		data, n, err := d.Next([]byte(in))
		require.Same(t, first, err)
		require.Zero(t, n)
		require.Nil(t, data)
	}
	require.False(t, d.Done())
	require.Zero(t, d.Remaining())
}

func TestChunkedLimits(t *testing.T) {
	decode := func(lim Limits, in string) error {
		return readAnswer("GET", lim, chunkedHead+in).err
	}
	line := "1;" + strings.Repeat("e", DefaultChunkLineLimit-4)
	require.NoError(t, decode(Limits{}, line+"\r\nx\r\n0\r\n\r\n"))
	wantError(t, decode(Limits{}, line+"e\r\nx\r\n0\r\n\r\n"), "*wire.LimitError", "chunk-size line exceeded 4096 bytes")
	wantError(t, decode(Limits{ChunkLine: 10}, "1;eeeeeeeeeeeeeeee"), "*wire.LimitError", "10 bytes")

	field := "A: " + strings.Repeat("b", DefaultTrailerLimit-5) + "\r\n"
	require.NoError(t, decode(Limits{}, "0\r\n"+field+"\r\n"))
	wantError(t, decode(Limits{}, "0\r\n"+field+"B"), "*wire.LimitError", "trailer section exceeded 65536 bytes")
	wantError(t, decode(Limits{Trailer: 10}, "0\r\n0123456789a"), "*wire.LimitError", "10 bytes")
	wantError(t, decode(Limits{Fields: 2}, "0\r\na:\r\nb:\r\nc:\r\n\r\n"), "*wire.LimitError", "2 fields")
}

// Content in tiny chunks is legitimate, framing without end is not.
func TestChunkedExcess(t *testing.T) {
	decode := func(chunk string, times int) answer {
		return readAnswer("GET", Limits{}, chunkedHead+strings.Repeat(chunk, times)+"0\r\n\r\n")
	}
	tiny := decode("1\r\nx\r\n", 50_000)
	require.NoError(t, tiny.err)
	require.Len(t, tiny.content, 50_000)

	// Allowed per chunk: 16 octets and twice the content.
	// What counts is the size line with its CRLF: here 16+2 octets, then one more.
	require.NoError(t, decode("1;89012345678901\r\nx\r\n", 20_000).err)
	allowed := decode("1;890123456789012\r\nx\r\n", maxChunkExcess)
	require.NoError(t, allowed.err)
	wantError(t, decode("1;890123456789012\r\nx\r\n", maxChunkExcess+1).err, "*wire.LimitError", "too much non-data")

	// Much content pays for framing before it, not after it.
	long := "1;" + strings.Repeat("e", 4000) + "\r\nx\r\n"
	much := "4000\r\n" + strings.Repeat("x", 0x4000) + "\r\n"
	require.NoError(t, decode(strings.Repeat(long, 4)+much, 10).err)
	wantError(t, decode(much+strings.Repeat(long, 5), 10).err, "*wire.LimitError", "too much non-data")
}

// The largest chunk pays for framing like any other large one.
func TestChunkedExcessOfLargestChunk(t *testing.T) {
	long := "1;" + strings.Repeat("e", 4000) + "\r\nx\r\n"
	var d ChunkedDecoder
	decode := func(in string) {
		t.Helper()
		for rest := []byte(in); len(rest) > 0; {
			_, n, err := d.Next(rest)
			require.NoError(t, err)
			rest = rest[n:]
		}
	}
	decode(strings.Repeat(long, 4) + "7fffffffffffffff\r\n")
	d.Skip(d.Remaining())
	decode("\r\n" + long)
}

// A caller may read content from the connection by itself.
func TestChunkedSkip(t *testing.T) {
	var d ChunkedDecoder
	require.Zero(t, d.Remaining())
	data, n, err := d.Next([]byte("5\r\nhe"))
	require.NoError(t, err)
	require.Equal(t, "he", string(data))
	require.Equal(t, 5, n)
	require.EqualValues(t, 3, d.Remaining())
	require.Panics(t, func() { d.Skip(4) })
	require.Panics(t, func() { d.Skip(-1) })
	d.Skip(2)
	require.EqualValues(t, 1, d.Remaining())
	d.Skip(1)
	require.Zero(t, d.Remaining())
	d.Skip(0)
	require.Panics(t, func() { d.Skip(1) })

	_, n, err = d.Next([]byte("\r\n7fffffffffffffff\r\n"))
	require.NoError(t, err)
	require.Equal(t, 20, n)
	require.EqualValues(t, int64(1<<63-1), d.Remaining())
	d.Skip(1<<63 - 2)
	data, _, err = d.Next([]byte("x\r\n0\r\n\r\nmore"))
	require.NoError(t, err)
	require.Equal(t, "x", string(data))
	require.False(t, d.Done())
	_, n, err = d.Next([]byte("\r\n0\r\n\r\nmore"))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.True(t, d.Done())
	require.Nil(t, d.Trailer())
	_, n, err = d.Next([]byte("more"))
	require.NoError(t, err)
	require.Zero(t, n)
}

// Appending to content must not overwrite the framing behind it.
func TestChunkedContentIsCapped(t *testing.T) {
	in := []byte("1\r\nx\r\n0\r\n\r\n")
	var d ChunkedDecoder
	data, n, err := d.Next(in)
	require.NoError(t, err)
	_ = append(data, "!!"...)
	_, _, err = d.Next(in[n:])
	require.NoError(t, err)
	require.True(t, d.Done())
}

func TestAppendChunks(t *testing.T) {
	out := []byte(">")
	for _, content := range []string{"a", strings.Repeat("b", 26)} {
		out = AppendChunkHead(out, len(content))
		out = append(out, content...)
		out = AppendChunkEnd(out)
	}
	require.Equal(t, ">1\r\na\r\n1a\r\n"+strings.Repeat("b", 26)+"\r\n0\r\n\r\n", string(AppendLastChunk(out, nil)))
	require.Panics(t, func() { AppendChunkHead(nil, 0) })
	require.Panics(t, func() { AppendChunkHead(nil, -1) })
}

func TestAppendLastChunk(t *testing.T) {
	trailer := http.Header{
		"X-B": {"1", " 2\r\nSmuggled: 3\n"}, "X-A": {"0"}, "X-None": nil,
		"bad name": {"4"}, "Content-Length": {"5"}, "transfer-encoding": {"6"}, "": {"7"},
	}
	require.Equal(t, "0\r\nX-A: 0\r\nX-B: 1\r\nX-B: 2  Smuggled: 3\r\n\r\n", string(AppendLastChunk(nil, trailer)))
}

// Frame and Next must find the same content, however the octets are cut.
func TestFrameAgreesWithNext(t *testing.T) {
	const coded = "4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\nA: b\r\n\r\nnext"
	for size := 1; size <= len(coded); size++ {
		var d ChunkedDecoder
		var content []byte
		var pending []byte
		for rest := []byte(coded); !d.Done() && (len(rest) > 0 || len(pending) > 0); {
			k := min(size, len(rest))
			pending, rest = append(pending, rest[:k]...), rest[k:]
			for {
				n, err := d.Frame(pending)
				require.NoError(t, err)
				pending = pending[n:]
				take := min(d.Remaining(), int64(len(pending)))
				content = append(content, pending[:take]...)
				pending = pending[take:]
				d.Skip(take)
				if n == 0 && take == 0 {
					break
				}
			}
		}
		require.True(t, d.Done(), "size %d", size)
		require.Equal(t, "Wikipedia", string(content), "size %d", size)
		require.Equal(t, "b", d.Trailer().Get("A"))
	}
}
