package httppipe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// tracing adds a trace to a request.
type tracing func(*http.Request) *http.Request

// A failure is a way in which a call fails, and what its error must say.
type failure struct {
	// play has a call fail, whose request it has passed through traced, and
	// returns its error.
	play    func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error
	changes []change

	is          error // by errors.Is
	unprocessed bool  // and that it was not processed
	timeout     bool
	unconnected bool // there was no connection for it
}

// refusing has dials fail, from the nth on.
func refusing(nth int, err error) change {
	return func(tr *httppipe.Transport) {
		dial, nth := tr.DialContext, nth
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if nth--; nth < 0 {
				return nil, err
			}
			return dial(ctx, network, addr)
		}
	}
}

var (
	errDialRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errDialTimeout = &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
)

// post makes a request that is sent once only.
func post(client *pipetest.Client) *http.Request {
	return client.NewRequest("POST", "/x", strings.NewReader("x"))
}

// pipelinedPost makes one that is sent behind others.
func pipelinedPost(client *pipetest.Client) *http.Request {
	req := post(client)
	return req.WithContext(httppipe.WithPipelining(req.Context(), httppipe.Pipeline))
}

var failures = map[string]failure{
	"dial refused": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			return client.Do(traced(post(client))).WantError(nil)
		},
		changes:     []change{refusing(0, errDialRefused)},
		is:          syscall.ECONNREFUSED,
		unconnected: true,
	},
	"dial timeout": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			return client.Do(traced(post(client))).WantError(nil)
		},
		changes: []change{refusing(0, errDialTimeout)},
		is:      context.DeadlineExceeded, timeout: true,
		unconnected: true,
	},
	"canceled in the queue": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			client.Get("/a")
			x := client.Do(traced(post(client)))
			x.WantPending("there is no connection for it")
			x.Cancel()
			return x.WantError(nil)
		},
		is:          context.Canceled,
		unconnected: true,
	},
	"too late in the queue": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			client.Get("/a")
			req := traced(post(client))
			ctx, cancel := context.WithTimeout(req.Context(), time.Second)
			t.Cleanup(cancel)
			x := client.Do(req.WithContext(ctx))
			time.Sleep(2 * time.Second)
			return x.WantError(nil)
		},
		is: context.DeadlineExceeded, timeout: true,
		unconnected: true,
	},
	"write fails before any octet": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			return client.Do(traced(post(client))).WantError(nil)
		},
		changes: []change{brokenFrom(0)},
		is:      errCable, unprocessed: true,
	},
	"write fails after an octet": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			time.Sleep(2 * time.Second) // there may be an answer all the same
			return x.WantError(nil)
		},
		changes: []change{brokenFrom(1)},
		is:      errCable,
	},
	"sent once, and then not": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			req := traced(post(client))
			req.Header["Idempotency-Key"] = nil
			x := client.Do(req)
			conn.WantRequests("POST /x")
			conn.Reset()
			return x.WantError(nil)
		},
		changes: []change{brokenFromDial(1)},
		is:      errCable,
	},
	"sent once, and then no connection": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			req := traced(post(client))
			req.Header["Idempotency-Key"] = nil
			x := client.Do(req)
			conn.WantRequests("POST /x")
			conn.Reset()
			return x.WantError(nil)
		},
		changes: []change{refusing(1, errDialRefused)},
		is:      syscall.ECONNREFUSED,
	},
	"reset as head": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			x := client.Do(traced(post(client)))
			conn.WantRequests("POST /x")
			conn.Reset()
			return x.WantError(nil)
		},
		is: syscall.ECONNRESET,
	},
	"end behind others": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			a := client.Get("/a")
			x := client.Do(traced(pipelinedPost(client)))
			conn.WantRequests("GET /a", "POST /x")
			conn.CloseWrite()
			err := x.WantError(nil)
			origin.Conn(1).Send(okay("a"))
			a.WantContent("a")
			return err
		},
		is: io.EOF,
	},
	"close announced before it": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			a := client.Get("/a")
			x := client.Do(traced(pipelinedPost(client)))
			conn.WantRequests("GET /a", "POST /x")
			conn.Send(reply(200, "a", "Connection: close"))
			a.WantContent("a")
			return x.WantError(nil)
		},
	},
	"not read before it": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			conn := proven(origin, client)
			a := client.DoUnread(client.NewRequest("GET", "/a", nil))
			x := client.Do(traced(pipelinedPost(client)))
			conn.WantRequests("GET /a", "POST /x")
			conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
			a.WantStatus(200)
			time.Sleep(time.Minute)
			return x.WantError(nil)
		},
	},
	"no head in time": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			origin.Conn(0).WantRequests("POST /x")
			time.Sleep(2 * time.Second)
			return x.WantError(nil)
		},
		changes: []change{func(tr *httppipe.Transport) { tr.ResponseHeaderTimeout = time.Second }},
		timeout: true,
	},
	"canceled in flight": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			origin.Conn(0).WantRequests("POST /x")
			x.Cancel()
			return x.WantError(nil)
		},
		is: context.Canceled,
	},
	"malformed": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			origin.Conn(0).Send("nonsense\r\n\r\n")
			return x.WantError(nil)
		},
	},
	"truncated head": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			origin.Conn(0).Send("HTTP/1.1 200 OK\r\n")
			origin.Conn(0).CloseWrite()
			return x.WantError(nil)
		},
		is: io.ErrUnexpectedEOF,
	},
	"truncated content": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			x := client.Do(traced(post(client)))
			origin.Conn(0).Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
			origin.Conn(0).CloseWrite()
			return x.WantError(nil)
		},
		is: io.ErrUnexpectedEOF,
	},
	"own content fails": {
		play: func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, traced tracing) error {
			return client.Do(traced(client.NewRequest("POST", "/x", brokenReader{}))).WantError(nil)
		},
		is: errCable,
	},
}

// brokenFrom makes connections on which writing fails past some octets.
func brokenFrom(octets int64) change { return brokenDials(0, octets) }

// brokenFromDial makes connections on which nothing can be written, from the nth on.
func brokenFromDial(nth int) change { return brokenDials(nth, 0) }

func brokenDials(nth int, octets int64) change {
	return func(tr *httppipe.Transport) {
		dial, nth := tr.DialContext, nth
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if nth--; err == nil && nth < 0 {
				c.(*memnet.Conn).FailWrite(octets, errCable)
			}
			return c, err
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errCable }

// What an error says about whether the origin can have acted on the request, and
// whether it is a timeout, is so in each case.
func TestErrors(t *testing.T) {
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				connected := false
				trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
				err := f.play(t, origin, client, func(req *http.Request) *http.Request {
					return req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
				})
				require.Equal(t, f.unconnected, !connected)
				if f.is != nil {
					require.ErrorIs(t, err, f.is)
				}
				require.Equal(t, f.unprocessed, errors.Is(err, httppipe.ErrUnprocessed), "%v", err)
				var ne net.Error
				require.Equal(t, f.timeout, errors.As(err, &ne) && ne.Timeout(), "%v", err)
				for _, r := range origin.Requests() {
					require.False(t, f.unprocessed && r.Target == "/x", "it was received")
				}
			}, append([]change{oneConn()}, f.changes...)...)
		})
	}
}
