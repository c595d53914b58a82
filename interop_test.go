package httppipe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// What the servers of INTEROP were seen to do under pipelining, and the tests in which
// one behaves so. Each wants the right octets for everybody, nothing lost, nothing
// with an effect sent twice, an end in bounded time, and where there is something to
// be learnt, that it was.
//
//	 1  cannot pipeline at all               TestInterop01
//	 2  drops or reorders answers            TestInterop01CannotPipeline (drop), TestInterop02
//	 3  confused by content                  TestInterop03, TestExclusiveRequestsShareNoConnection
//	 4  any answer may be the last           TestInterop04, TestServersThatCloseAfterSomeAnswers,
//	                                         TestLimitOfRequestsIsLearnt
//	 5  resets when it closes                TestInterop05, TestReplayAfterTheConnectionEnds
//	 6  EOF after a failed write             TestUntilCloseAfterFailedWrite
//	 7  behind Connection: close             TestInterop07, TestAnnouncedClose
//	 8  400 in the wrong place               TestInterop08
//	 9  Expect: 100-continue                 TestInterop09
//	10  early answer to an upload            TestInterop10
//	11  reads only so much                   TestInterop11
//	12  half-close, empty lines              TestInterop12
//	13  closes when idle                     TestInterop13
//	14  one request after the other          TestInterop14, TestSlowHead

// behaving is a Plan in which all connections behave alike.
func behaving(b pipetest.Behaviour) func(int) pipetest.Behaviour {
	return func(int) pipetest.Behaviour { return b }
}

// pipelinings names what servers do to a request behind another (INTEROP 1 and 2).
var pipelinings = map[string]pipetest.Pipelining{
	"in order":         pipetest.InOrder,
	"close on second":  pipetest.CloseOnSecond,
	"silent on pair":   pipetest.SilentOnPair,
	"first only":       pipetest.FirstOnly,
	"first then close": pipetest.FirstThenClose,
	"drop second":      pipetest.DropSecond,
}

// Every server that answers one request at a time is answered for, whatever it
// does to two; after some experience it does not see two again.
func TestInterop01CannotPipeline(t *testing.T) {
	for name, pipelining := range pipelinings {
		for _, conns := range []int{0, 1, 2} {
			for _, ending := range []pipetest.Ending{pipetest.EndLinger, pipetest.EndClose, pipetest.EndReset} {
				t.Run(name, func(t *testing.T) {
					server := &pipetest.Server{Plan: behaving(pipetest.Behaviour{Pipelining: pipelining, Ending: ending})}
					inWorld(t, server, func(w *world) {
						for range 10 {
							w.getAll("learn", 20, time.Minute)
						}
						if pipelining == pipetest.InOrder {
							require.Positive(w.t, pairsSeen(w))
							return
						}
						before := pairsSeen(w)
						w.getAll("convicted", 20, time.Minute)
						require.Zero(w.t, pairsSeen(w)-before, "pairs after the conviction")
					}, maxConns(conns))
				})
			}
		}
	}
}

// pairsSeen counts writes that carried more than one request.
func pairsSeen(w *world) (n int) {
	for _, c := range w.net.Conns() {
		for _, octets := range c.WriteLog() {
			if countRequests(octets) > 1 {
				n++
			}
		}
	}
	return n
}

// What was learnt is given a second chance.
func TestInterop01ConvictionEnds(t *testing.T) {
	cured := false
	server := &pipetest.Server{Plan: func(int) pipetest.Behaviour {
		if cured {
			return pipetest.Behaviour{}
		}
		return pipetest.Behaviour{Pipelining: pipetest.CloseOnSecond}
	}}
	inWorld(t, server, func(w *world) {
		for range 5 {
			w.getAll("learn", 20, time.Minute)
		}
		cured = true
		before := pairsSeen(w)
		w.getAll("serial", 20, time.Minute)
		require.Equal(w.t, before, pairsSeen(w))
		time.Sleep(time.Hour)
		for range 5 {
			w.getAll("again", 20, time.Minute)
		}
		require.Greater(w.t, pairsSeen(w), before)
	}, oneConn())
}

// A caller that holds a response, and waits for another behind it, gets that: the
// one program that hangs with naive pipelining.
func TestWaitingBehindAnUnreadResponse(t *testing.T) {
	const size = 200_000
	for name, read := range map[string]int{"unread": 0, "half read": size / 2} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, &pipetest.Server{}, func(w *world) {
				for range 3 {
					w.getAll("prove", 10, time.Minute)
				}
				ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errTookTooLong)
				defer cancel()
				var held []*http.Response
				for i := range 20 {
					req, err := http.NewRequestWithContext(ctx, "GET", worldURL+sized(fmt.Sprint("held", i), size), nil)
					require.NoError(w.t, err)
					resp, err := w.rt.RoundTrip(req)
					require.NoError(w.t, err)
					_, err = io.CopyN(io.Discard, resp.Body, int64(read))
					require.NoError(w.t, err)
					held = append(held, resp)
					w.getAll(fmt.Sprint("behind", i), 3, time.Second)
				}
				for i, resp := range held {
					rest, err := io.ReadAll(resp.Body)
					require.NoError(w.t, err)
					require.True(w.t, string(pipetest.Content(sized(fmt.Sprint("held", i), size), size)[read:]) == string(rest))
					resp.Body.Close()
				}
			})
		})
	}
}

// Responses that are leaked hold nobody up.
func TestLeakedResponses(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := provenFirst(origin, client)
		a := client.DoUnread(client.NewRequest("GET", "/a", nil))
		b := client.Get("/b")
		conn.WantRequests("GET /a", "GET /b")
		conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome")
		a.WantStatus(200)
		time.Sleep(time.Second) // nobody reads
		second := origin.Conn(2)
		second.WantRequests("GET /b")
		second.Send(okay("b"))
		b.WantContent("b")
		conn.WantOpen() // a can still be read
		conn.Send(strings.Repeat("x", 100000-4))
		a.Resume()
		a.WantContent("some" + strings.Repeat("x", 100000-4))
	})
}

// Whoever waits behind a slow answer is answered elsewhere.
func TestSlowHead(t *testing.T) {
	slow := 30 * time.Second
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		if strings.HasPrefix(x.Request.URL.Path, "/slow") {
			a.Delay = slow
		}
		return a
	}}
	inWorld(t, server, func(w *world) {
		for range 3 {
			w.getAll("prove", 10, time.Minute)
		}
		var group sync.WaitGroup
		for i := range 3 {
			group.Go(func() {
				if _, err := w.get(context.Background(), fmt.Sprint("/slow", i)); err != nil {
					w.t.Error(err)
				}
			})
			w.getAll(fmt.Sprint("behind", i), 20, 2*time.Second)
		}
		group.Wait()
		require.LessOrEqual(w.t, server.Times("GET", "/slow0"), 3, "a slow server must not get its work many times")
	})
}

// Cancelled calls disturb nobody: before they are sent, as the head, in the middle
// and during their content.
func TestCancelDisturbsNobody(t *testing.T) {
	why := errors.New("changed my mind")
	for name, which := range map[string]int{"head": 0, "middle": 1, "last": 2} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprint(name, begun), func(t *testing.T) {
				scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
					conn := provenFirst(origin, client)
					ctx, cancel := context.WithCancelCause(context.Background())
					var calls []*pipetest.Call
					for i := range 3 {
						req := client.NewRequest("GET", fmt.Sprint("/", i), nil)
						if i == which {
							req = req.WithContext(ctx)
						}
						calls = append(calls, client.Do(req))
					}
					conn.WantRequests("GET /0", "GET /1", "GET /2")
					sent := 0
					if begun {
						for ; sent < which; sent++ {
							conn.Send(okay(fmt.Sprint(sent)))
						}
						conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
						calls[which].WantContentSoFar("ab")
					}
					cancel(why)
					calls[which].WantError(why)
					if begun {
						conn.Send("cde")
						sent++
					}
					for ; sent < 3; sent++ {
						conn.Send(okay(fmt.Sprint(sent)))
					}
					time.Sleep(5 * time.Second)
					for _, r := range origin.Requests() { // what was sent elsewhere
						if r.Conn > 1 {
							origin.Conn(r.Conn).Send(okay(r.Target[1:]))
						}
					}
					for i, call := range calls {
						if i != which {
							call.WantContent(fmt.Sprint(i))
						}
					}
				})
			})
		}
	}
}

func TestCancelWhileQueued(t *testing.T) {
	why := errors.New("changed my mind")
	for _, exclusive := range []bool{false, true} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			a := client.Get("/a")
			conn := origin.Conn(0)
			conn.WantRequests("GET /a")
			ctx, cancel := context.WithCancelCause(context.Background())
			req := client.NewRequest("GET", "/b", nil)
			if exclusive {
				req = client.NewRequest("POST", "/b", strings.NewReader("x"))
			}
			b := client.Do(req.WithContext(ctx))
			stop := make(chan struct{})
			req = client.NewRequest("GET", "/c", nil)
			//lint:ignore SA1019 programs still use it, http.Client among them
			req.Cancel = stop
			c := client.Do(req)
			d := client.Get("/d")
			cancel(why)
			b.WantError(why)
			close(stop)
			c.WantError("canceled")
			conn.Send(okay("a"))
			a.WantContent("a")
			time.Sleep(2 * time.Millisecond) // for another to go along with /d
			conn.WantRequests("GET /d")
			conn.Send(okay("d"))
			d.WantContent("d")
		}, oneConn())
	}
}

// Request.Cancel ends a call also when it is in flight, and its content.
func TestRequestCancel(t *testing.T) {
	for _, begun := range []bool{false, true} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			stop := make(chan struct{})
			req := client.NewRequest("GET", "/a", nil)
			//lint:ignore SA1019 programs still use it, http.Client among them
			req.Cancel = stop
			a := client.Do(req)
			conn.WantRequests("GET /a")
			if begun {
				conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
				a.WantContentSoFar("ab")
			}
			close(stop)
			time.Sleep(10 * time.Millisecond)
			a.WantError("canceled")
		}, oneConn())
	}
}

// Close never blocks, whatever is left, and those behind are answered.
func TestEarlyClose(t *testing.T) {
	for _, left := range []int{10, 100_000, 10_000_000} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				a := client.DoUnread(client.NewRequest("GET", "/a", nil))
				b := client.Get("/b")
				conn.WantRequests("GET /a", "GET /b")
				conn.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", left))
				begin := time.Now()
				a.CloseBody()
				require.Zero(t, time.Since(begin))
				conn.Send(strings.Repeat("x", left) + okay("b"))
				time.Sleep(5 * time.Second)
				if left > 1_000_000 {
					second := origin.Conn(1)
					second.WantRequests("GET /b")
					second.Send(okay("b"))
				} else {
					origin.WantConns(1)
				}
				b.WantContent("b")
			}, oneConn())
		})
	}
}

// A 400 that ends a connection with several requests in flight may be another's. Its
// caller is answered again, alone, and once; and only if it may be sent again.
func TestInterop08BadRequestIsTriedAlone(t *testing.T) {
	const bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad"
	for _, guilty := range []bool{false, true} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			a, b := client.Get("/a"), client.Get("/b")
			conn.WantRequests("GET /a", "GET /b")
			conn.Send(bad)
			conn.WantClosed()
			answerAll(origin, 1, func(r pipetest.Received) {
				if guilty && r.Target == "/a" {
					origin.Conn(r.Conn).Send(bad)
				} else {
					origin.Conn(r.Conn).Send(okay(r.Target[1:]))
				}
			})
			if guilty {
				a.WantStatus(400)
				a.WantContent("bad")
			} else {
				a.WantContent("a")
			}
			b.WantContent("b")
			for _, r := range origin.Requests()[5:] {
				require.Positive(t, r.Conn)
			}
			require.Len(t, origin.Requests(), 3+2+2)
		}, oneConn())
	}
}

// Alone means with nothing else in flight, though there is a connection that others
// share.
func TestInterop08BadRequestIsNotTriedBehindOthers(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		provenFirst(origin, client)
		post := client.Post("/post", "x") // makes them need another
		first := origin.Conn(0)
		a, b, c := client.Get("/1"), client.Get("/2"), client.Get("/3")
		second := origin.Conn(2)
		second.Send(okay("1"))
		second.WantRequests("GET /1", "GET /2", "GET /3")
		second.Send(okay("2") + okay("3"))
		for i, call := range []*pipetest.Call{a, b, c} {
			call.WantContent(fmt.Sprint(i + 1))
		}
		x, y := client.Get("/x"), client.Get("/y")
		second.WantRequests("GET /x", "GET /y")
		first.Send(okay("post"))
		post.WantContent("post")
		time.Sleep(100 * time.Millisecond) // x is late, and y goes elsewhere
		first.WantRequests("POST /post", "GET /y")
		second.Send(reply(400, "", "Connection: close"))
		third := origin.Conn(3)
		third.WantRequests("GET /x")
		first.Send(okay("y"))
		third.Send(okay("x"))
		x.WantContent("x")
		y.WantContent("y")
	}, maxConns(2))
}

// A server that answers nothing any more because requests wait behind others is given
// up, before it is too late for everybody.
func TestInterop01SilentOnceOthersWait(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		a := client.Get("/a")
		conn.WantRequests("GET /a")
		b := client.Get("/b")
		conn.WantRequests("GET /b")
		time.Sleep(time.Minute)
		conn.WantClosed()
		answerByPath(origin, 1)
		a.WantContent("a")
		b.WantContent("b")
	}, oneConn())
}

// A 400 that can be nobody else's is what it is.
func TestInterop08BadRequestOfOne(t *testing.T) {
	bad := reply(400, "bad", "Connection: close")
	t.Run("alone", func(t *testing.T) {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			a := client.Get("/a")
			conn.Send(bad)
			a.WantContent("bad")
			origin.WantConns(1)
		}, oneConn())
	})
	t.Run("connection goes on", func(t *testing.T) {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			a, b := client.Get("/a"), client.Get("/b")
			conn.Send(reply(400, "bad") + okay("b"))
			a.WantContent("bad")
			b.WantContent("b")
			origin.WantConns(1)
		}, oneConn())
	})
	t.Run("not replayable", func(t *testing.T) {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			conn := proven(origin, client)
			ctx := httppipe.WithPipelining(context.Background(), httppipe.Pipeline)
			a := client.Do(client.NewRequest("POST", "/a", nil).WithContext(ctx))
			b := client.Get("/b")
			conn.Send(bad)
			a.WantContent("bad")
			answerByPath(origin, 1)
			b.WantContent("b")
			require.Len(t, origin.Requests(), 3+2+1)
		}, oneConn())
	})
}

// While it was still to be seen that a server answers the first of two only, each new
// connection used to be tried with a pair, whose second waited 250 ms: with 1500
// requests/s for half a second.
func TestInterop01FewSufferFromTheProof(t *testing.T) {
	for _, name := range []string{"silent on pair", "first only", "drop second"} {
		t.Run(name, func(t *testing.T) {
			server := &pipetest.Server{Plan: behaving(pipetest.Behaviour{Pipelining: pipelinings[name]})}
			inWorld(t, server, func(w *world) {
				var mu sync.Mutex
				var took []time.Duration
				var group sync.WaitGroup
				for i := range 1500 {
					group.Go(func() {
						began := time.Now()
						path := fmt.Sprint("/", i)
						if got, err := w.get(within(w.t, time.Minute), path); err != nil || got != string(pipetest.Content(path, 16)) {
							w.t.Errorf("%s: %q, %v", path, got, err)
						}
						mu.Lock()
						defer mu.Unlock()
						took = append(took, time.Since(began))
					})
					time.Sleep(time.Second / 1500)
				}
				group.Wait()
				slices.Sort(took)
				require.Less(w.t, took[len(took)*99/100], 20*time.Millisecond)
				require.Less(w.t, took[len(took)-5], 100*time.Millisecond, "at most four waited for the proof")
				require.Less(w.t, len(w.net.Conns()), 40)
			})
		})
	}
}
