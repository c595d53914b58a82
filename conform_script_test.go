package httppipe_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/httppipe/httppipe"
)

// A rawScript is what an origin does with the requests of one client, and with how
// many of them the client comes. It is run with http.Transport and with ours, and
// what their users see must be the same.
type rawScript struct {
	name string

	// replies are the octets sent for the first request, the second and so on, in
	// the order in which they arrive, on whatever connection: see play. A request
	// for /behind gets an ordinary answer.
	replies []string

	requests []func(url string) *http.Request // default: getting("/1") and getting("/2")
	setup    func(*settings)
	loose    bool // errors differ on purpose: see looseErrors
	unseen   bool // what the origin sees of a request that fails is chance
	conns    bool // connections are used differently on purpose: see otherConns
}

// settings are the fields that both transports have.
type settings struct {
	DisableKeepAlives      bool
	DisableCompression     bool
	MaxConnsPerHost        int
	MaxIdleConnsPerHost    int
	MaxResponseHeaderBytes int64
	ResponseHeaderTimeout  time.Duration
	ExpectContinueTimeout  time.Duration
}

func (s settings) theirs() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: s.DisableKeepAlives, DisableCompression: s.DisableCompression,
		MaxConnsPerHost: s.MaxConnsPerHost, MaxIdleConnsPerHost: s.MaxIdleConnsPerHost,
		MaxResponseHeaderBytes: s.MaxResponseHeaderBytes, ResponseHeaderTimeout: s.ResponseHeaderTimeout,
		ExpectContinueTimeout: s.ExpectContinueTimeout,
	}
}

// A scriptedOrigin listens, and answers requests as its script says.
type scriptedOrigin struct {
	net.Listener
	mu      sync.Mutex
	replies []string
	seen    []string // requests, one line each
	conns   int
	wg      sync.WaitGroup
	done    chan struct{}
}

func newScriptedOrigin(t *testing.T, replies []string) *scriptedOrigin {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &scriptedOrigin{Listener: l, replies: replies, done: make(chan struct{})}
	o.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			n := o.conns
			o.conns++
			o.mu.Unlock()
			o.wg.Go(func() { o.serve(conn, n) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(o.done)
		o.wg.Wait()
	})
	return o
}

// serve answers the requests on one connection.
func (o *scriptedOrigin) serve(conn net.Conn, n int) {
	defer conn.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-o.done:
			conn.Close()
		case <-over:
		}
	}()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		o.mu.Lock()
		reply := "close"
		if req.URL.Path == "/behind" {
			reply = ok
		} else if len(o.replies) > 0 {
			reply, o.replies = o.replies[0], o.replies[1:]
		}
		o.mu.Unlock()
		early := strings.HasPrefix(reply, "early ") // answer before reading the content
		var content []byte
		if !early {
			content, _ = io.ReadAll(req.Body)
		}
		o.mu.Lock()
		o.seen = append(o.seen, fmt.Sprintf("conn %d: %s %s close=%v te=%v cl=%d content=%q trailer=%v %s",
			n, req.Method, req.RequestURI, req.Close, req.TransferEncoding, req.ContentLength, content, req.Trailer, headerLines(req.Header)))
		o.mu.Unlock()
		if !play(conn, strings.TrimPrefix(reply, "early ")) {
			return
		}
	}
}

// play sends a reply, parts of which may be directives, «in these brackets»:
//
//	close      ends the connection
//	reset      resets it
//	hang       sends nothing more until the client ends the connection
//	pause      waits a little, so that the client reads what was sent before
//
// It returns whether there may be another request.
func play(conn net.Conn, reply string) bool {
	for reply != "" {
		part, rest, directive := strings.Cut(reply, "«")
		if part != "" {
			if part == "close" && !directive { // the whole reply
				return false
			}
			io.WriteString(conn, part)
		}
		if !directive {
			return true
		}
		word, rest, _ := strings.Cut(rest, "»")
		reply = rest
		switch word {
		case "close":
			return false
		case "reset":
			conn.(*net.TCPConn).SetLinger(0)
			return false
		case "hang":
			io.Copy(io.Discard, conn)
			return false
		case "pause":
			time.Sleep(20 * time.Millisecond)
		}
	}
	return true
}

const (
	doClose = "«close»"
	doReset = "«reset»"
	doHang  = "«hang»"
	pause   = "«pause»"
)

func headerLines(h http.Header) string {
	var b strings.Builder
	h.Write(&b)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\r\n"), "\r\n")
	sort.Strings(lines)
	return strings.Join(lines, "; ")
}

// A closeCounter counts how often a request's body is closed.
type closeCounter struct {
	io.Reader
	mu sync.Mutex
	n  int
}

func (c *closeCounter) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return nil
}

var addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// outcome describes what the user of rt sees of one request.
func outcome(rt http.RoundTripper, req *http.Request) (out string) {
	var b strings.Builder
	resp, err := rt.RoundTrip(req)
	if err != nil {
		fmt.Fprintf(&b, "error: %s", describeError(err))
	} else {
		fmt.Fprintf(&b, "%s | %s | length %d te %v close %v uncompressed %v | %s | trailer %v",
			resp.Proto, resp.Status, resp.ContentLength, resp.TransferEncoding, resp.Close, resp.Uncompressed,
			headerLines(resp.Header), resp.Trailer)
		content, err := io.ReadAll(resp.Body)
		fmt.Fprintf(&b, " | content %.200q (%d)", content, len(content))
		if err != nil {
			fmt.Fprintf(&b, " error: %s", describeError(err))
		}
		fmt.Fprintf(&b, " | trailer %v | request is mine: %v", resp.Trailer, resp.Request == req)
		if err := resp.Body.Close(); err != nil {
			fmt.Fprintf(&b, " | close: %s", describeError(err))
		}
	}
	if c, ok := req.Body.(*closeCounter); ok {
		// The end of sending need not have been before the response.
		for range 100 {
			c.mu.Lock()
			n := c.n
			c.mu.Unlock()
			if n > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		fmt.Fprintf(&b, " | body closed %d times", c.n)
	}
	return b.String()
}

// describeError tells what programs ask an error for.
func describeError(err error) string {
	text := addresses.ReplaceAllString(err.Error(), "ADDR")
	var kinds []string
	for name, target := range map[string]error{
		"EOF": io.EOF, "UnexpectedEOF": io.ErrUnexpectedEOF, "Canceled": context.Canceled,
		"DeadlineExceeded": context.DeadlineExceeded, "os.Deadline": os.ErrDeadlineExceeded,
		"SchemeMismatch": http.ErrSchemeMismatch, "LineTooLong": http.ErrLineTooLong,
	} {
		if errors.Is(err, target) {
			kinds = append(kinds, name)
		}
		if err == target {
			kinds = append(kinds, "=="+name)
		}
	}
	sort.Strings(kinds)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		kinds = append(kinds, "timeout")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		kinds = append(kinds, "OpError "+op.Op)
	}
	return fmt.Sprintf("%s %v", text, kinds)
}

// run plays s with one transport, and returns what was seen on both sides.
func (s *rawScript) run(t *testing.T, transport func(settings) http.RoundTripper) (user []string, wire []string) {
	o := newScriptedOrigin(t, s.replies)
	var set settings
	if s.setup != nil {
		s.setup(&set)
	}
	rt := transport(set)
	requests := s.requests
	if requests == nil {
		requests = []func(string) *http.Request{getting("/1"), getting("/2")}
	}
	for _, make := range requests {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		user = append(user, outcome(rt, make("http://"+o.Addr().String()).WithContext(ctx)))
		cancel()
	}
	rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = slices.DeleteFunc(o.seen, func(line string) bool { return s.unseen && target(line) != "/behind" })
	sort.SliceStable(o.seen, func(i, j int) bool { return target(o.seen[i]) < target(o.seen[j]) })
	for _, line := range o.seen {
		wire = append(wire, addresses.ReplaceAllString(line, "ADDR"))
	}
	return user, wire
}

// target is the request target in a line of scriptedOrigin.seen: in which order two
// connections were read is chance.
func target(line string) string { return strings.Fields(line)[3] }

func getting(path string) func(string) *http.Request { return withMethod("GET", path, nil) }

// withMethod makes requests; a body that is not nil is made anew for each.
func withMethod(method, path string, body func() io.Reader, change ...func(*http.Request)) func(string) *http.Request {
	return func(base string) *http.Request {
		var r io.Reader
		if body != nil {
			r = body()
		}
		req, err := http.NewRequest(method, base+path, r)
		if err != nil {
			panic(err)
		}
		for _, f := range change {
			f(req)
		}
		return req
	}
}

func inMemory(s string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(s) }
}

// counted is a body that is no reader of net/http's acquaintance.
func counted(s string) func() io.Reader {
	return func() io.Reader { return &closeCounter{Reader: io.MultiReader(strings.NewReader(s))} }
}

func havingField(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func havingLength(n int64) func(*http.Request) {
	return func(r *http.Request) { r.ContentLength = n }
}

func TestScriptsLookTheSameAsWithHTTPTransport(t *testing.T) {
	for _, s := range rawScripts {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			wantUser, wantWire := s.run(t, func(set settings) http.RoundTripper { return set.theirs() })
			for _, wrapped := range []bool{false, true} {
				gotUser, gotWire := s.run(t, func(set settings) http.RoundTripper { return set.ours(wrapped) })
				sameLines(t, "user", s.comparable(wantUser), s.comparable(gotUser))
				sameLines(t, "origin", s.comparable(wantWire), s.comparable(gotWire))
			}
		})
	}
}

// ours returns the Transport to test. Wrapped connections are not sockets of the
// operating system for it, and are read and written in another way.
func (s settings) ours(wrapped bool) *httppipe.Transport {
	tr := httppipe.FromHTTP(s.theirs())
	if wrapped {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return struct{ net.Conn }{conn}, err
		}
	}
	return tr
}

// comparable takes out what differs on purpose.
func (s *rawScript) comparable(lines []string) []string {
	if s.loose {
		lines = without(errorTexts, lines)
	}
	if s.conns {
		lines = without(connNumbers, lines)
	}
	return lines
}

var (
	errorTexts  = regexp.MustCompile(`error: .*? \[[A-Za-z= .]*\]( |$)`)
	connNumbers = regexp.MustCompile(`conn \d+`)
)

func without(what *regexp.Regexp, lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, what.ReplaceAllString(l, "(differs)"))
	}
	return out
}

func sameLines(t *testing.T, who string, want, got []string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		w, g := "(nothing)", "(nothing)"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Errorf("the %s sees %d:\n http.Transport: %s\n httppipe:       %s", who, i+1, w, g)
		}
	}
}
