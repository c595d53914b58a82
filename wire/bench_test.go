package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// typicalHead is a head of eight fields as an application server sends it.
const typicalHead = "HTTP/1.1 200 OK\r\n" +
	"Server: nginx/1.22.1\r\n" +
	"Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n" +
	"Content-Type: application/json; charset=utf-8\r\n" +
	"Content-Length: 1234\r\n" +
	"Connection: keep-alive\r\n" +
	"Cache-Control: private, max-age=0, must-revalidate\r\n" +
	"Etag: \"5f3c-18b2a7c9e40\"\r\n" +
	"Vary: Accept-Encoding\r\n" +
	"\r\n"

// lowerHead is the same with names in lower case, as Node.js and Envoy send them.
var lowerHead = strings.NewReplacer(
	"Server:", "server:", "Date:", "date:", "Content-", "content-", "Type:", "type:", "Length:", "length:",
	"Connection:", "connection:", "Cache-Control:", "cache-control:", "Etag:", "etag:", "Vary:", "vary:",
).Replace(typicalHead)

// parsing returns functions that parse msg, with this package and with net/http.
func parsing(tb testing.TB, msg string) (ours, theirs func()) {
	in := []byte(msg)
	r := strings.NewReader(msg)
	br := bufio.NewReader(r)
	ours = func() {
		if _, n, err := ParseResponseHead(in, Limits{}); n != len(in) || err != nil {
			tb.Fatal(n, err)
		}
	}
	theirs = func() {
		r.Reset(msg)
		br.Reset(r)
		if _, err := http.ReadResponse(br, nil); err != nil {
			tb.Fatal(err)
		}
	}
	return ours, theirs
}

// writing returns functions that serialise a typical request.
func writing(tb testing.TB) (ours, theirs func()) {
	req := benchRequest(tb)
	h := &RequestHead{Target: req.URL.RequestURI(), Host: req.URL.Host, UserAgent: "example/1.0", Header: req.Header}
	buf := make([]byte, 0, 4096)
	w := bufio.NewWriter(io.Discard)
	ours = func() { buf = AppendRequestHead(buf[:0], h) }
	theirs = func() {
		if err := req.Write(w); err != nil {
			tb.Fatal(err)
		}
	}
	return ours, theirs
}

// compare has a benchmark for each side, and one for how they compare.
func compare(b *testing.B, ours, theirs func()) {
	for name, run := range map[string]func(){"wire": ours, "nethttp": theirs} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
	b.Run("ratio", func(b *testing.B) { reportRatio(b, ours, theirs) })
}

// reportRatio runs both sides in turns, so that they meet the same noise, and
// reports how many times as long theirs takes. It is the median over the turns:
// what else the machine does shows in some of them only.
func reportRatio(b *testing.B, ours, theirs func()) {
	const perTurn = 100
	var ratios []float64
	for b.Loop() {
		mine := timeOf(perTurn, ours)
		ratios = append(ratios, float64(timeOf(perTurn, theirs))/float64(mine))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op") // how long a turn takes means nothing
}

func timeOf(n int, f func()) time.Duration {
	begin := time.Now()
	for range n {
		f()
	}
	return time.Since(begin)
}

func BenchmarkParseResponseHead(b *testing.B) {
	for name, msg := range map[string]string{"canonical": typicalHead, "lower": lowerHead} {
		b.Run(name, func(b *testing.B) {
			ours, theirs := parsing(b, msg)
			compare(b, ours, theirs)
		})
	}
}

func benchRequest(tb testing.TB) *http.Request {
	req, err := http.NewRequest("GET", "http://example.com/api/v1/items?page=2", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("Authorization", "Bearer 0123456789abcdef")
	req.Header.Set("X-Request-Id", "7d1c5a0e")
	req.Header.Set("User-Agent", "example/1.0")
	return req
}

func BenchmarkAppendRequestHead(b *testing.B) {
	ours, theirs := writing(b)
	compare(b, ours, theirs)
}

func BenchmarkChunkedDecoder(b *testing.B) {
	for name, size := range map[string]int{"16": 16, "4096": 4096} {
		var coded []byte
		for range 1 << 18 / size {
			coded = AppendChunkHead(coded, size)
			coded = append(coded, bytes.Repeat([]byte("x"), size)...)
			coded = AppendChunkEnd(coded)
		}
		coded = AppendLastChunk(coded, nil)
		b.Run(name+"/wire", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(coded)))
			dst := make([]byte, 4096)
			for b.Loop() {
				var d ChunkedDecoder
				for rest := coded; !d.Done(); {
					data, n, err := d.Next(rest)
					if err != nil || n == 0 {
						b.Fatal(n, err)
					}
					copy(dst, data)
					rest = rest[n:]
				}
			}
		})
		b.Run(name+"/nethttp", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(coded)))
			const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			msg := append([]byte(head), coded...)
			r := bytes.NewReader(msg)
			br := bufio.NewReader(r)
			dst := make([]byte, 4096)
			for b.Loop() {
				r.Reset(msg)
				br.Reset(r)
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = resp.Body.Read(dst)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}
