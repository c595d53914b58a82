package httppipe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// TestMain reports goroutines that outlive the tests.
func TestMain(m *testing.M) { pipetest.Main(m) }

type change = func(*httppipe.Transport)

// piped makes the Transport of a test. It trusts the certificate of the tests.
func piped(changes ...change) func(dial pipetest.DialFunc) http.RoundTripper {
	return func(dial pipetest.DialFunc) http.RoundTripper {
		tr := &httppipe.Transport{DialContext: dial}
		tr.TLSClientConfig, _ = pipetest.TLSConfigs()
		for _, f := range changes {
			f(tr)
		}
		return tr
	}
}

// netHTTP makes net/http's Transport of a test, likewise.
func netHTTP(changes ...func(*http.Transport)) func(dial pipetest.DialFunc) http.RoundTripper {
	return func(dial pipetest.DialFunc) http.RoundTripper {
		tr := &http.Transport{DialContext: dial}
		tr.TLSClientConfig, _ = pipetest.TLSConfigs()
		for _, f := range changes {
			f(tr)
		}
		return tr
	}
}

func maxConns(n int) change   { return func(tr *httppipe.Transport) { tr.MaxConnsPerHost = n } }
func maxDepth(n int) change   { return func(tr *httppipe.Transport) { tr.MaxPipelineDepth = n } }
func uploads() change         { return func(tr *httppipe.Transport) { tr.PipelineUploads = true } }
func oneConn() change         { return maxConns(1) }
func okay(body string) string { return reply(200, body) }

// reply is a response with content of announced length.
func reply(status int, body string, fields ...string) string {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", status, http.StatusText(status), len(body))
	for _, field := range fields {
		head += field + "\r\n"
	}
	return head + "\r\n" + body
}

// scripted runs f in a bubble with an origin that is played by hand.
func scripted(t *testing.T, f func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client), changes ...change) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		origin, client := pipetest.New(t, piped(changes...))
		f(t, origin, client)
	})
}

// proven has a connection pass all steps of the proof, on a fresh origin. It is
// connection 0, and the only one, if the Transport is held to one.
func proven(origin *pipetest.Origin, client *pipetest.Client) *pipetest.Conn {
	a := client.Get("/proof1")
	conn := origin.Conn(0)
	conn.WantRequests("GET /proof1")
	b := client.Get("/proof2")
	waitQueued(client, 1)
	c := client.Get("/proof3")
	waitQueued(client, 2)
	conn.Send(okay("1"))
	conn.WantRequests("GET /proof2", "GET /proof3")
	conn.Send(okay("2") + okay("3"))
	a.WantContent("1")
	b.WantContent("2")
	c.WantContent("3")
	return conn
}

// provenFirst is proven for a Transport that may have more connections. It needs a
// bubble. The second connection, which comes about meanwhile, is gone afterwards.
func provenFirst(origin *pipetest.Origin, client *pipetest.Client) *pipetest.Conn {
	a, x := client.Get("/proof1"), client.Get("/proofx")
	b, c := client.Get("/proof2"), client.Get("/proof3")
	conn, other := origin.Conn(0), origin.Conn(1)
	conn.WantRequests("GET /proof1")
	conn.Send(okay("1"))
	conn.WantRequests("GET /proof2", "GET /proof3")
	conn.Send(okay("2") + okay("3"))
	other.WantRequests("GET /proofx")
	other.Send(reply(200, "x", "Connection: close"))
	for i, call := range []*pipetest.Call{a, b, c, x} {
		call.WantContent([]string{"1", "2", "3", "x"}[i])
	}
	other.WantClosed()
	return conn
}

// waitQueued waits until n requests wait for a connection. In a bubble they do
// already; over TCP their goroutines may not have got there.
func waitQueued(client *pipetest.Client, n int) {
	tr := client.Transport().(*httppipe.Transport)
	for tr.Stats().Waiting < n && tr.MaxConnsPerHost == 1 {
		runtime.Gosched()
	}
}

// A world is a Server in memory, and a Transport that talks to it.
type world struct {
	t      *testing.T
	net    *memnet.Network
	server *pipetest.Server
	rt     http.RoundTripper
	tr     *httppipe.Transport // rt, unless that is another's
}

// inWorld runs f in a bubble with a Server, and checks at its end that nothing
// is left: no connection, and (the bubble sees to it) no goroutine.
func inWorld(t *testing.T, server *pipetest.Server, f func(w *world), changes ...change) {
	t.Helper()
	inWorldOver(t, server, nil, f, changes...)
}

// inWorldOver is inWorld over a network with these options.
func inWorldOver(t *testing.T, server *pipetest.Server, opts []memnet.Option, f func(w *world), changes ...change) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, server, piped(changes...), opts...)
		f(w)
		w.wantNothingLeft()
	})
}

const worldURL = "http://" + pipetest.Host

func newWorld(t *testing.T, server *pipetest.Server, make func(pipetest.DialFunc) http.RoundTripper, opts ...memnet.Option) *world {
	t.Helper()
	opts = append([]memnet.Option{memnet.Latency(time.Millisecond), memnet.LogWrites()}, opts...)
	w := &world{t: t, net: memnet.New(opts...), server: server}
	ln, err := w.net.Listen(pipetest.Host + ":80")
	require.NoError(t, err)
	server.Start(t, ln)
	w.rt = make(w.net.DialContext)
	t.Cleanup(w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections)
	w.tr, _ = w.rt.(*httppipe.Transport)
	return w
}

// wantNothingLeft wants all connections to end when the idle ones are closed.
func (w *world) wantNothingLeft() {
	w.t.Helper()
	w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	// What was abandoned has a bounded time to end.
	time.Sleep(5 * time.Second)
	synctest.Wait()
	require.Empty(w.t, w.net.Open(), "connections left open")
	if w.tr != nil {
		s := w.tr.Stats()
		require.Zero(w.t, s.Conns, "connections in the pool")
		require.Zero(w.t, s.Waiting, "requests in the queue")
	}
}

// get fetches path and returns the content.
func (w *world) get(ctx context.Context, path string) (string, error) {
	return w.fetch(ctx, "GET", path, "")
}

func (w *world) fetch(ctx context.Context, method, path, content string) (string, error) {
	var body io.Reader
	if content != "" {
		body = strings.NewReader(content)
	}
	_, got, err := w.send(ctx, method, path, body)
	return got, err
}

// send sends a request, after some changes, and reads the response.
func (w *world) send(ctx context.Context, method, path string, body io.Reader, changes ...func(*http.Request)) (status int, content string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, worldURL+path, body)
	if err != nil {
		return 0, "", err
	}
	for _, f := range changes {
		f(req)
	}
	resp, err := w.rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

// sized is a path that AnswerContent answers with n octets.
func sized(name string, n int) string { return fmt.Sprintf("/%s?n=%d", name, n) }

// getAll fetches n paths at the same time and compares every octet. within bounds
// the time that may pass.
func (w *world) getAll(name string, n int, within time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), within, errTookTooLong)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i := range n {
		group.Go(func() {
			path := sized(fmt.Sprint(name, i), 10+7*i)
			got, err := w.get(ctx, path)
			if err == nil && got != string(pipetest.Content(path, 10+7*i)) {
				err = errors.New("wrong octets")
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	require.Empty(w.t, errs)
}

// within is a context for a call that must end in time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, errTookTooLong)
	t.Cleanup(cancel)
	return ctx
}

var errTookTooLong = errors.New("it took too long")

// countRequests counts the heads of GET requests in octets.
func countRequests(octets string) int { return strings.Count(octets, "GET /") }
