package httppipe_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// What is sent again, rule by rule. recover_test.go has the rest: who kills two
// connections, which methods, dials that fail.

// As long as each connection answers something, however little, requests are sent
// again without limit, and counted.
func TestReplayIsUnlimitedWhileConnectionsAnswer(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		proven(origin, client)
		const n = 12
		var calls []*pipetest.Call
		for i := range n {
			calls = append(calls, client.Get(fmt.Sprint("/", i)))
		}
		lost := 0
		for i := range n {
			conn := origin.Conn(i)
			requests := conn.Requests()
			if i == 0 {
				requests = requests[3:]
			}
			// All that are in flight are lost, but for the first.
			conn.Send(okay(requests[0].Target[1:]))
			conn.CloseWrite()
			lost += len(requests) - 1
			time.Sleep(time.Second)
		}
		for i, call := range calls {
			call.WantContent(fmt.Sprint(i))
		}
		// Some were lost on their way, too.
		stats := client.Transport().(*httppipe.Transport).Stats()
		require.GreaterOrEqual(t, stats.Replays, int64(lost))
		require.Positive(t, lost)
	}, oneConn())
}

// A connection that answers nothing is no reason to go on: requests that are lost
// with such connections are given up, those that have waited behind others too.
func TestReplayIsBoundedWhereNothingIsAnswered(t *testing.T) {
	for _, pipelining := range []pipetest.Pipelining{pipetest.InOrder, pipetest.CloseOnSecond} {
		// Nothing is answered from some moment on.
		var over atomic.Bool
		server := &pipetest.Server{
			Plan: func(int) pipetest.Behaviour {
				return pipetest.Behaviour{Pipelining: pipelining, Ending: pipetest.EndReset}
			},
			Handler: func(x *pipetest.Exchange) pipetest.Answer {
				if over.Load() {
					return pipetest.Answer{Delay: time.Hour}
				}
				return pipetest.AnswerContent(x)
			},
		}
		inWorld(t, server, func(w *world) {
			for range 3 {
				w.getAll("prove", 20, time.Minute)
			}
			over.Store(true)
			stop := make(chan struct{})
			go func() { // every connection is reset after a while
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Millisecond):
						server.ResetAll()
					}
				}
			}()
			const n = 20
			before := w.tr.Stats().Replays
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() {
					got, err := w.get(within(w.t, time.Minute), fmt.Sprint("/lost", i))
					if err == nil || errors.Is(err, errTookTooLong) {
						w.t.Errorf("/lost%d: %q, %v", i, got, err)
					}
				})
			}
			group.Wait()
			close(stop)
			require.LessOrEqual(w.t, w.tr.Stats().Replays-before, int64(4*n))
			for i := range n {
				require.LessOrEqual(w.t, server.Times("GET", fmt.Sprint("/lost", i)), 4)
			}
		}, maxConns(2))
	}
}

// A request goes alone on the replacement until its final response has begun: not
// until its content has arrived, and not only until an interim response.
func TestFirstOnTheReplacementIsAlone(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		calls := map[string]*pipetest.Call{}
		for _, path := range []string{"/a", "/b", "/c"} {
			calls[path] = client.Get(path)
		}
		conn.WantRequests("GET /a", "GET /b", "GET /c")
		conn.Reset()
		second := origin.Conn(1)
		require.Len(t, second.Requests(), 1)
		second.Send("HTTP/1.1 103 Early Hints\r\n\r\n")
		time.Sleep(time.Minute)
		require.Len(t, second.Requests(), 1)
		first := second.Requests()[0].Target
		second.Send(okay(first))
		calls[first].WantContent(first)
		// The head of the connection that was reset wants to be the first on its own:
		// another one may have come before it.
		others := 3
		if first != "/a" {
			others = 2
		}
		require.Len(t, second.Requests(), others)
		for _, r := range second.Requests()[1:] {
			second.Send(okay(r.Target))
			calls[r.Target].WantContent(r.Target)
		}
		if first != "/a" {
			third := origin.Conn(2)
			third.WantRequests("GET /a")
			third.Send(okay("/a"))
			calls["/a"].WantContent("/a")
		}
	}, oneConn())
}

// A request whose content cannot be had again is sent again only as long as none of
// it was read.
func TestReplayWithContent(t *testing.T) {
	for name, test := range map[string]struct {
		getBody func() (io.ReadCloser, error)
		want    string // on the replacement
	}{
		"rewound":        {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil }, "content"},
		"no GetBody":     {nil, ""},
		"GetBody failed": {func() (io.ReadCloser, error) { return nil, errCable }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				req := client.NewRequest("POST", "/x", io.MultiReader(strings.NewReader("content")))
				req.Header["Idempotency-Key"] = nil
				req.ContentLength, req.GetBody = 7, test.getBody
				x := client.Do(req)
				conn.WantRequests("POST /x")
				conn.Reset()
				if test.want == "" {
					require.NotErrorIs(t, x.WantError(nil), httppipe.ErrUnprocessed)
					origin.WantConns(1)
					return
				}
				second := origin.Conn(1)
				second.WantRequests("POST /x")
				second.WantBody(test.want)
				second.Send(okay("x"))
				x.WantContent("x")
			}, oneConn())
		})
	}
}

// A request of which nothing was sent is sent again whatever it is: here one whose
// connection ends while it is on its way to it.
func TestReplayOfTheUnsent(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			mc := conn.NetConn().(*memnet.Conn).Peer()
			mc.FailWrite(mc.Stats().OctetsWritten, errCable)
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader("x")
			}
			x := client.Do(client.NewRequest(method, "/x", body))
			second := origin.Conn(1)
			second.WantRequests(method + " /x")
			second.Send(okay("x"))
			x.WantContent("x")
			conn.WantNoRequest()
		}, oneConn())
	}
}
