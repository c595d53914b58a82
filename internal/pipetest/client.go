package pipetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// DialFunc connects to an address, as http.Transport.DialContext does.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// New starts an [Origin] and a [Client] whose transport newTransport makes.
// The transport must use dial. With [TLS] it must accept the certificate of
// [TLSConfigs]. Idle connections are closed at the end of the test.
func New(t testing.TB, newTransport func(dial DialFunc) http.RoundTripper, opts ...Option) (*Origin, *Client) {
	t.Helper()
	origin := NewOrigin(t, opts...)
	return origin, NewClient(t, newTransport(origin.DialContext), origin.URL())
}

// A Client calls one origin through a RoundTripper. No redirects are followed
// and no cookies are kept. Its methods are for the goroutine of the test.
type Client struct {
	t       testing.TB
	settler settler
	rt      http.RoundTripper
	url     string
	calls   []*Call
}

// NewClient returns a Client that calls url, which has no slash at its end.
func NewClient(t testing.TB, rt http.RoundTripper, url string) *Client {
	c := &Client{t: t, settler: newSettler(), rt: rt, url: url}
	t.Cleanup(c.close)
	return c
}

// close cancels what is still under way.
func (c *Client) close() {
	for _, call := range c.calls {
		call.Cancel()
		call.Resume()
	}
	if closer, ok := c.rt.(interface{ CloseIdleConnections() }); ok {
		c.rest() // what was cancelled may become idle
		closer.CloseIdleConnections()
	}
}

// Transport returns the RoundTripper under test.
func (c *Client) Transport() http.RoundTripper { return c.rt }

// NewRequest returns a request for a path of the origin.
func (c *Client) NewRequest(method, path string, body io.Reader) *http.Request {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, body)
	require.NoError(c.t, err)
	return req
}

// Get starts a GET.
func (c *Client) Get(path string) *Call {
	c.t.Helper()
	return c.Do(c.NewRequest("GET", path, nil))
}

// Head starts a HEAD.
func (c *Client) Head(path string) *Call {
	c.t.Helper()
	return c.Do(c.NewRequest("HEAD", path, nil))
}

// Post starts a POST of content that can be rewound.
func (c *Client) Post(path, content string) *Call {
	c.t.Helper()
	return c.Do(c.NewRequest("POST", path, strings.NewReader(content)))
}

// Do starts req on a goroutine that also reads the content of its response.
// In a bubble it lets everything come to rest before it returns, so that
// calls reach the transport in the order of the script.
func (c *Client) Do(req *http.Request) *Call {
	call := c.start(req)
	call.Resume()
	c.rest()
	return call
}

// DoUnread is Do, but leaves the content of the response unread until
// [Call.Resume].
func (c *Client) DoUnread(req *http.Request) *Call {
	call := c.start(req)
	c.rest()
	return call
}

// Together starts requests at the same moment, without the rest between them
// that Do gives. Which of them is sent first is not certain.
func (c *Client) Together(reqs ...*http.Request) []*Call {
	calls := make([]*Call, len(reqs))
	for i, req := range reqs {
		calls[i] = c.start(req)
		calls[i].Resume()
	}
	c.rest()
	return calls
}

func (c *Client) start(req *http.Request) *Call {
	ctx, cancel := context.WithCancel(req.Context())
	call := &Call{
		t:       c.t,
		settler: c.settler,
		name:    req.Method + " " + req.URL.RequestURI(),
		cancel:  cancel,
		resume:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.calls = append(c.calls, call)
	go call.run(c.rt, req.WithContext(ctx))
	return call
}

func (c *Client) rest() {
	if c.settler.bubble {
		synctest.Wait()
	}
}

// A Call is a request under way, with its response so far.
type Call struct {
	t       testing.TB
	settler settler
	name    string
	cancel  context.CancelFunc
	resume  chan struct{} // closed when the content may be read
	resumed sync.Once
	done    chan struct{} // closed when nothing more will happen

	mu      sync.Mutex // guards the rest
	resp    *http.Response
	err     error // of RoundTrip, or of reading the content
	content []byte
	ended   bool
}

func (c *Call) run(rt http.RoundTripper, req *http.Request) {
	defer close(c.done)
	defer c.cancel()
	resp, err := rt.RoundTrip(req)
	c.update(func() { c.resp, c.err, c.ended = resp, err, err != nil })
	if err != nil {
		return
	}
	<-c.resume
	buf := make([]byte, 4096)
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		c.update(func() { c.content = append(c.content, buf[:n]...) })
	}
	resp.Body.Close()
	c.update(func() {
		c.ended = true
		if err != io.EOF {
			c.err = err
		}
	})
}

func (c *Call) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Resume has the content of the response read, after [Client.DoUnread].
func (c *Call) Resume() { c.resumed.Do(func() { close(c.resume) }) }

// Cancel cancels the request's context.
func (c *Call) Cancel() { c.cancel() }

// CloseBody closes the body of the response, which must have begun.
func (c *Call) CloseBody() {
	c.t.Helper()
	if err := c.Response().Body.Close(); err != nil {
		c.t.Fatalf("%s: closing the body: %v", c.name, err)
	}
}

// Response returns the response, which must have begun. Its Body belongs to
// the Call once it was resumed.
func (c *Call) Response() *http.Response {
	c.t.Helper()
	c.want(c.unbegun)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resp
}

// Wait waits until the call has ended, letting virtual time pass.
func (c *Call) Wait() *Call {
	<-c.done
	return c
}

// unbegun complains unless RoundTrip has returned a response.
func (c *Call) unbegun() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.resp != nil:
		return ""
	case c.err != nil:
		return fmt.Sprintf("failed: %v", c.err)
	}
	return "is pending, want a response"
}

// WantStatus wants a response with this status to have begun.
func (c *Call) WantStatus(status int) {
	c.t.Helper()
	if got := c.Response().StatusCode; got != status {
		c.t.Fatalf("%s: status is %d, want %d", c.name, got, status)
	}
}

// WantHeader wants a response with this field to have begun; the first of
// several counts, and "" means none.
func (c *Call) WantHeader(name, value string) {
	c.t.Helper()
	if got := c.Response().Header.Get(name); got != value {
		c.t.Fatalf("%s: %s is %q, want %q", c.name, name, got, value)
	}
}

// WantContent wants the call to have ended well with this content.
func (c *Call) WantContent(want string) {
	c.t.Helper()
	c.want(func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.ended || c.err != nil || string(c.content) != want {
			return fmt.Sprintf("%s, want %q and its end", c.stateLocked(), want)
		}
		return ""
	})
}

// WantContentSoFar wants this much of the content to have been read, and
// neither its end nor an error.
func (c *Call) WantContentSoFar(want string) {
	c.t.Helper()
	complaint := func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.resp == nil || c.ended || string(c.content) != want {
			return fmt.Sprintf("%s, want %q and more to come", c.stateLocked(), want)
		}
		return ""
	}
	c.want(complaint)
	c.wantStill(complaint)
}

// WantPending wants RoundTrip to be under way. why says why it should be, for
// the reader and for the failure.
func (c *Call) WantPending(why string) {
	c.t.Helper()
	c.wantStill(func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.resp != nil || c.err != nil {
			return fmt.Sprintf("%s, want it pending: %s", c.stateLocked(), why)
		}
		return ""
	})
}

// WantError wants the call to have failed, in RoundTrip or while the content
// was read. target is an error for errors.Is, a func(error) bool, a string
// that the message contains, or nil for any error. The error is returned.
func (c *Call) WantError(target any) error {
	c.t.Helper()
	c.want(func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !matches(c.err, target) {
			return fmt.Sprintf("%s, want error %v", c.stateLocked(), describe(target))
		}
		return ""
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func matches(err error, target any) bool {
	if err == nil {
		return false
	}
	switch target := target.(type) {
	case nil:
		return true
	case func(error) bool:
		return target(err)
	case string:
		return strings.Contains(err.Error(), target)
	case error:
		return errors.Is(err, target)
	}
	panic(fmt.Sprintf("pipetest: WantError cannot compare with a %T", target))
}

func describe(target any) string {
	if _, ok := target.(func(error) bool); ok {
		return "that the function accepts"
	}
	return fmt.Sprintf("%v", target)
}

func (c *Call) stateLocked() string {
	switch {
	case c.err != nil:
		return fmt.Sprintf("failed after content %q: %v", c.content, c.err)
	case c.ended:
		return fmt.Sprintf("ended with status %d and content %q", c.resp.StatusCode, c.content)
	case c.resp != nil:
		return fmt.Sprintf("has status %d and content so far %q", c.resp.StatusCode, c.content)
	}
	return "is pending"
}

func (c *Call) want(complaint func() string) {
	c.t.Helper()
	if s := c.settler.eventually(complaint); s != "" {
		c.t.Fatalf("%s: %s", c.name, s)
	}
}

func (c *Call) wantStill(complaint func() string) {
	c.t.Helper()
	if s := c.settler.still(complaint); s != "" {
		c.t.Fatalf("%s: %s", c.name, s)
	}
}
