package origin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// run feeds reads to a new session, as a socket would hand them over, and
// returns all its output. Delays are not waited for.
func run(t *testing.T, reads ...string) (*session, string) {
	t.Helper()
	responses := new(canned)
	responses.tick(time.Unix(1e9, 0))
	s := newSession(responses)
	var out strings.Builder
	for _, octets := range reads {
		for len(octets) > 0 {
			b, err := s.space()
			if err != nil {
				t.Fatal(err)
			}
			n := copy(b, octets)
			octets = octets[n:]
			s.received(n)
			answerInto(t, s, &out)
		}
	}
	return s, out.String()
}

func answerInto(t *testing.T, s *session, out *strings.Builder) {
	t.Helper()
	for {
		if err := s.parse(); err != nil {
			t.Fatal(err)
		}
		if s.stalled {
			s.resume()
		}
		if len(s.output()) == 0 {
			return
		}
		out.Write(s.output())
		s.wrote(len(s.output()))
	}
}

// lengths parses responses with net/http and returns their content lengths.
func lengths(t *testing.T, out string) string {
	t.Helper()
	var got []string
	for br := bufio.NewReader(strings.NewReader(out)); ; {
		resp, err := http.ReadResponse(br, nil)
		if err == io.ErrUnexpectedEOF && len(got) > 0 || err == io.EOF {
			return strings.Join(got, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			got = append(got, fmt.Sprint(resp.StatusCode))
			continue
		}
		got = append(got, fmt.Sprint(len(b)))
	}
}

var sessionTests = []struct{ name, in, want string }{
	{"one", "GET /b/7 HTTP/1.1\r\nHost: x\r\n\r\n", "7"},
	{"pipelined", "GET /b/1 HTTP/1.1\r\n\r\nGET /b/2 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", "1 2 128"},
	{"slow in between", "GET /b/1 HTTP/1.1\r\n\r\nGET /slow/9 HTTP/1.1\r\n\r\nGET /b/3 HTTP/1.1\r\n\r\n", "1 128 3"},
	{"content", "PUT /u HTTP/1.1\r\ncontent-length: 30\r\n\r\nGET /b/1 HTTP/1.1\r\n\r\nsome text" +
		"GET /b/5 HTTP/1.1\r\n\r\n", "16 5"},
	{"no content", "POST /slow/1 HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /b/5 HTTP/1.1\r\n\r\n", "16 5"},
	{"chunked", "PUT /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n" +
		"GET /b/5 HTTP/1.1\r\n\r\n", "16 5"},
	{"expectation", "PUT /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "100 16"},
	{"close", "GET /b/1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /b/2 HTTP/1.1\r\n\r\n", "1"},
	{"close behind content", "PUT / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n", "16"},
	{"in part", "GET /b/1 HTTP/1.1\r\n\r\nGET /b/2 HTTP/1.1\r\nHost", "1"},
}

// TestSession cuts each input at every position: the answers must not depend on
// how octets arrive.
func TestSession(t *testing.T) {
	for _, test := range sessionTests {
		t.Run(test.name, func(t *testing.T) {
			for i := range len(test.in) + 1 {
				_, out := run(t, test.in[:i], test.in[i:])
				if got := lengths(t, out); got != test.want {
					t.Fatalf("cut at %d: lengths %q, want %q", i, got, test.want)
				}
			}
			_, out := run(t, strings.Split(test.in, "")...)
			if got := lengths(t, out); got != test.want {
				t.Fatalf("octet by octet: lengths %q, want %q", got, test.want)
			}
		})
	}
}

func TestSessionFinished(t *testing.T) {
	s, _ := run(t, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
	if !s.finished() {
		t.Error("not finished after Connection: close")
	}
	s, _ = run(t, "GET / HTTP/1.1\r\n\r\n")
	if s.finished() {
		t.Error("finished without Connection: close")
	}
}

func TestStallKeepsOrder(t *testing.T) {
	responses := new(canned)
	responses.tick(time.Now())
	s := newSession(responses)
	b, _ := s.space()
	s.received(copy(b, "GET /slow/20 HTTP/1.1\r\n\r\nGET /b/3 HTTP/1.1\r\n\r\n"))
	if err := s.parse(); err != nil {
		t.Fatal(err)
	}
	if !s.stalled || s.delay != 20*time.Millisecond || len(s.output()) != 0 {
		t.Fatalf("stalled %v for %v with %d octets of output", s.stalled, s.delay, len(s.output()))
	}
	if s.wantsInput() {
		t.Error("reads while stalled")
	}
}

func TestDropInKernel(t *testing.T) {
	s, _ := run(t, "PUT / HTTP/1.1\r\nContent-Length: 100\r\n\r\n0123456789")
	if got := s.droppable(); got != 90 {
		t.Fatalf("droppable: %d, want 90", got)
	}
	s.dropped(90)
	if err := s.parse(); err != nil {
		t.Fatal(err)
	}
	if got := lengths(t, string(s.output())); got != "16" {
		t.Errorf("answers: %q", got)
	}
}

func TestOutputIsBounded(t *testing.T) {
	responses := new(canned)
	responses.tick(time.Now())
	s := newSession(responses)
	b, _ := s.space()
	s.received(copy(b, bytes.Repeat([]byte("GET /b/1000000 HTTP/1.1\r\n\r\n"), 100)))
	if err := s.parse(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.output()); n < outputHigh || n > outputHigh+2e6 {
		t.Errorf("%d octets of output", n)
	}
}

func TestSessionErrors(t *testing.T) {
	s := newSession(new(canned))
	s.canned.tick(time.Now())
	b, _ := s.space()
	s.received(copy(b, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"))
	if err := s.parse(); err != errChunkSize {
		t.Errorf("malformed chunk size: %v", err)
	}
	s = newSession(new(canned))
	s.received(inputSize)
	if _, err := s.space(); err != errHeadTooLarge {
		t.Errorf("endless head: %v", err)
	}
}
