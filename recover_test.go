package httppipe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// Servers end connections after any number of answers, announced or not, in any
// way: no caller of a safe request notices, and no POST arrives twice.
func TestServersThatCloseAfterSomeAnswers(t *testing.T) {
	for _, k := range []int{1, 2, 5, 100} {
		for _, announce := range []bool{true, false} {
			for _, ending := range []pipetest.Ending{pipetest.EndLinger, pipetest.EndClose, pipetest.EndReset} {
				t.Run(fmt.Sprint(k, announce, ending), func(t *testing.T) {
					server := &pipetest.Server{Plan: behaving(pipetest.Behaviour{CloseAfter: k, Announce: announce, Ending: ending})}
					// With latency, a reset would destroy the last answer each time.
					inWorldOver(t, server, []memnet.Option{memnet.Latency(0)}, func(w *world) {
						stop := make(chan struct{})
						var posts sync.WaitGroup
						posts.Go(func() {
							for i := 0; ; i++ {
								select {
								case <-stop:
									return
								default:
									w.fetch(context.Background(), "POST", fmt.Sprint("/post", i), "x")
									time.Sleep(time.Millisecond)
								}
							}
						})
						for round := range 3 {
							w.getAll(fmt.Sprint("r", round, "-"), 40, time.Minute)
						}
						close(stop)
						posts.Wait()
						require.Empty(w.t, server.Repeated("POST"))
					}, maxConns(4))
				})
			}
		}
	}
}

// An announced limit is learnt: nothing is sent beyond it, not even to see whether the
// server can pipeline.
func TestLimitOfRequestsIsLearnt(t *testing.T) {
	for limit, replays := range map[int]int64{2: 2, 3: 2, 20: 20} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			server := &pipetest.Server{Plan: behaving(pipetest.Behaviour{CloseAfter: limit, Announce: true})}
			inWorld(t, server, func(w *world) {
				for range 10 {
					w.getAll("a", 40, time.Minute)
				}
				before := w.tr.Stats().Replays
				for range 10 {
					w.getAll("b", 40, time.Minute)
				}
				require.LessOrEqual(w.t, w.tr.Stats().Replays-before, replays)
			}, oneConn())
		})
	}
}

func TestReplayAfterTheConnectionEnds(t *testing.T) {
	ends := map[string]func(*pipetest.Conn){
		"EOF":   (*pipetest.Conn).CloseWrite,
		"close": (*pipetest.Conn).Close,
		"RST":   (*pipetest.Conn).Reset,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				a, b, c, d := client.Get("/a"), client.Get("/b"), client.Get("/c"), client.Get("/d")
				conn.WantRequests("GET /a", "GET /b", "GET /c", "GET /d")
				conn.Send(okay("a"))
				end(conn)
				a.WantContent("a")
				time.Sleep(time.Minute)
				second := origin.Conn(1)
				// The first goes alone. Which it is, is not certain.
				require.Len(t, second.Requests(), 1)
				time.Sleep(time.Minute)
				require.Len(t, second.Requests(), 1)
				answerByPath(origin, 1)
				b.WantContent("b")
				c.WantContent("c")
				d.WantContent("d")
				require.EqualValues(t, 3, client.Transport().(*httppipe.Transport).Stats().Replays)
			}, oneConn())
		})
	}
}

// answerByPath answers what comes within a second on the connections from the given
// one on: each request with its path.
func answerByPath(origin *pipetest.Origin, from int) {
	answerAll(origin, from, func(r pipetest.Received) { origin.Conn(r.Conn).Send(okay(r.Target[1:])) })
}

// answerAll has reply answer what comes within a second on the connections from the
// given one on.
func answerAll(origin *pipetest.Origin, from int, reply func(pipetest.Received)) {
	answered := 0
	for range 100 {
		all := origin.Requests()
		all = slices.DeleteFunc(all, func(r pipetest.Received) bool { return r.Conn < from })
		for _, r := range all[answered:] {
			reply(r)
			answered++
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A request that ends two connections as their head gets the error. Its neighbours
// are answered.
func TestRequestThatKillsConnections(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		killer, b, c := client.Get("/killer"), client.Get("/b"), client.Get("/c")
		conn.WantRequests("GET /killer", "GET /b", "GET /c")
		conn.Reset()
		// In which order they are sent again is not certain.
		reply := func(r pipetest.Received) {
			if r.Target == "/killer" {
				origin.Conn(r.Conn).Reset()
			} else {
				origin.Conn(r.Conn).Send(okay(r.Target[1:]))
			}
		}
		answerAll(origin, 1, reply)
		err := killer.WantError(syscall.ECONNRESET)
		require.NotErrorIs(t, err, httppipe.ErrUnprocessed)
		b.WantContent("b")
		c.WantContent("c")
		killed := 0
		for _, r := range origin.Requests() {
			if r.Target == "/killer" {
				killed++
			}
		}
		require.Equal(t, 2, killed, "connections ended")
	}, oneConn())
}

// A used connection that ends while it is idle is nobody's fault: however many of
// them there are, the request is answered by a fresh one.
func TestIdleConnectionsThatHaveEnded(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		var calls []*pipetest.Call
		for i := range 5 {
			calls = append(calls, client.Post(fmt.Sprint("/", i), "x"))
		}
		for i, call := range calls {
			origin.Conn(i).Send(okay("x"))
			call.WantContent("x")
		}
		// The origin reads no more, and resets when it is sent something.
		for i := range 5 {
			origin.Conn(i).PauseReading()
		}
		a := client.Get("/a")
		ended := 0
		for i := range 5 {
			if mc := origin.Conn(i).NetConn().(*memnet.Conn); mc.Unread() > 0 {
				mc.Reset()
				ended++
			}
		}
		require.Equal(t, 1, ended)
		fresh := origin.Conn(5)
		fresh.WantRequests("GET /a")
		fresh.Send(okay("a"))
		a.WantContent("a")
	}, func(tr *httppipe.Transport) { tr.MaxIdleConnsPerHost = 10 })
}

// Exclusive requests that were sent are never sent again; those that were not are.
func TestExclusiveRequestAfterReset(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		post := client.Post("/post", "x")
		conn.WantRequests("POST /post")
		conn.Reset()
		err := post.WantError(syscall.ECONNRESET)
		require.NotErrorIs(t, err, httppipe.ErrUnprocessed)
		time.Sleep(time.Minute)
		origin.WantConns(1)
	}, oneConn())
}

func TestIdempotencyKeyIsReplayed(t *testing.T) {
	for _, rewindable := range []bool{true, false} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			var body io.Reader = strings.NewReader("content")
			if !rewindable {
				body = io.MultiReader(body)
			}
			req := client.NewRequest("POST", "/post", body)
			req.Header.Set("Idempotency-Key", "1")
			post := client.Do(req)
			conn.WantRequests("POST /post")
			conn.WantBody("content")
			conn.Reset()
			if !rewindable {
				require.NotErrorIs(t, post.WantError(nil), httppipe.ErrUnprocessed)
				return
			}
			time.Sleep(time.Second)
			second := origin.Conn(1)
			second.WantRequests("POST /post")
			second.WantBody("content")
			second.Send(okay("done"))
			post.WantContent("done")
		}, oneConn())
	}
}

// Nothing is read behind an answer that says close, and what was sent behind it is
// sent again. Nothing is sent behind a request that says close.
func TestAnnouncedClose(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a, b := client.Get("/a"), client.Get("/b")
		conn.WantRequests("GET /a", "GET /b")
		conn.Send(reply(200, "a", "Connection: close") + okay("forged"))
		a.WantContent("a")
		conn.WantClosed()
		second := origin.Conn(1)
		second.WantRequests("GET /b")
		second.Send(okay("b"))
		b.WantContent("b")
	}, oneConn())
}

// errNobody is the error of dials in these tests.
var errNobody = errors.New("nobody is there")

func TestDialFailureFailsTheQueue(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &pipetest.Server{}, piped())
				w.net.OnDial(func(ctx context.Context, n int, addr string) error {
					time.Sleep(delay)
					return errNobody
				})
				var group sync.WaitGroup
				begin := time.Now()
				for i := range 20 {
					group.Go(func() {
						method, content := "GET", ""
						if i%4 == 0 {
							method, content = "POST", "x"
						}
						_, err := w.fetch(context.Background(), method, fmt.Sprint("/", i), content)
						if !errors.Is(err, errNobody) {
							t.Errorf("%s: %v", method, err)
						}
					})
				}
				group.Wait()
				require.LessOrEqual(t, time.Since(begin), 2*delay+3*time.Second)
				w.net.OnDial(nil)
				w.getAll("later", 5, time.Minute)
				w.wantNothingLeft()
			})
		})
	}
}

// As long as a connection works, dials that fail are repeated, but not at once.
func TestDialBackoff(t *testing.T) {
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		return pipetest.Answer{Size: 10, Delay: 200 * time.Millisecond}
	}}
	inWorld(t, server, func(w *world) {
		w.get(context.Background(), "/first")
		w.net.RefuseDials(true)
		begin := w.net.Dials()
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				if _, err := w.get(context.Background(), fmt.Sprint("/", i)); err != nil {
					w.t.Error(err)
				}
			})
		}
		group.Wait()
		require.Less(w.t, w.net.Dials()-begin, 100, "dials in 10 s")
	})
}

// failingWrites makes connections on which writing fails past some octets.
func failingWrites(octets int64) func(pipetest.DialFunc) http.RoundTripper {
	return func(dial pipetest.DialFunc) http.RoundTripper {
		return piped()(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err == nil {
				c.(*memnet.Conn).FailWrite(octets, errCable)
			}
			return c, err
		})
	}
}

var errCable = errors.New("broken cable")

// What was not sent can be sent again by the caller, and the error says so.
func TestErrUnprocessed(t *testing.T) {
	for octets, unprocessed := range map[int64]bool{0: true, 1: false, 20: false} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(fmt.Sprint(method, octets), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &pipetest.Server{}, failingWrites(octets))
					content := map[string]string{"POST": "x"}[method]
					_, err := w.fetch(context.Background(), method, "/", content)
					require.Equal(t, unprocessed, errors.Is(err, httppipe.ErrUnprocessed), "%v", err)
					require.ErrorIs(t, err, errCable)
					w.wantNothingLeft()
				})
			})
		}
	}
}
