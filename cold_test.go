package httppipe_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A few requests to an origin far away that was never asked, or not for long, used to wait
// for each other: three or four round trips, where net/http takes two.
func TestFewRequestsWithoutConnectionsTakeTwoRoundTrips(t *testing.T) {
	const rtt = 50 * time.Millisecond
	for _, n := range []int{1, 2, 3, 4, 5, 6, 20, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				for i := range 3 {
					began := time.Now()
					w.getAll("few", n, time.Second)
					require.Less(t, time.Since(began), 2*rtt+rtt/(4<<min(i, 1)), "the first has to find out that it is far")
					w.tr.CloseIdleConnections()
				}
				require.LessOrEqual(t, w.net.Dials(), 3*n)
			})
		})
	}
}

// Connections that have not answered because they could not used to count as late, so
// that as many more were dialed.
func TestNewOriginFarAwayTakesFewerConnectionsThanCallers(t *testing.T) {
	inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(25 * time.Millisecond)}, func(w *world) {
		for range 2 {
			before := w.net.Dials()
			var callers sync.WaitGroup
			for i := range 40 {
				time.Sleep(3 * time.Millisecond) // none comes in the moment when a connection does
				callers.Go(func() {
					if _, err := w.get(context.Background(), fmt.Sprint("/", i)); err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			require.Equal(t, 17, w.net.Dials()-before, "within a round trip of 50 ms, each 3 ms")
			w.tr.CloseIdleConnections()
		}
	})
}

// Where what is dialed is near, as a proxy may be, and answers take long, the connections of
// a burst used to be doubled each time that all of them were late.
func TestBurstWhereDialsAreQuickAndAnswersSlow(t *testing.T) {
	const service = 50 * time.Millisecond
	slow := func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		a.Delay = service
		return a
	}
	for _, n := range []int{8, 32, 64, 300} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{Handler: slow}, nil, func(w *world) {
				began := time.Now()
				w.getAll("burst", n, time.Second)
				require.LessOrEqual(t, time.Since(began), service*3/2)
			})
		})
	}
}

// Behind a proxy nearby an origin far away was taken for one with slow handlers, so that
// each burst had a connection for each request, until 256 were answered. One behind another
// shows which it is, and costs little if handlers are slow.
func TestOriginFarBehindSomethingNear(t *testing.T) {
	const way, near = 50 * time.Millisecond, 100 * time.Microsecond
	for _, slow := range []bool{false, true} {
		for _, n := range []int{4, 16, 64} {
			t.Run(fmt.Sprint(slow, n), func(t *testing.T) {
				server, oneWay := &pipetest.Server{}, way/2
				if slow {
					oneWay = near / 2
					server.Handler = func(x *pipetest.Exchange) pipetest.Answer {
						a := pipetest.AnswerContent(x)
						a.Delay = way
						return a
					}
				}
				inWorldOver(t, server, []memnet.Option{memnet.Latency(oneWay)}, func(w *world) {
					w.net.DelayDials(near - 2*oneWay)
					get := func() error {
						_, err := w.get(context.Background(), "/")
						return err
					}
					twice := 0 // bursts with one request behind another
					for i := range 8 {
						before := w.net.Dials()
						took := atOnce(t, n, get)
						if i > 0 && took > 3*way/2 {
							twice++
						}
						if !slow && i >= 3 {
							require.Equal(t, before, w.net.Dials(), "dials in burst %d", i)
						}
						time.Sleep(100 * time.Millisecond)
					}
					require.LessOrEqual(t, twice, map[bool]int{true: 2}[slow])
				})
			})
		}
	}
}

// Where no request is answered before all have come, none may wait for an answer.
func TestAnswersThatWaitForAllRequests(t *testing.T) {
	const n = 150
	for _, rtt := range []time.Duration{100 * time.Microsecond, 50 * time.Millisecond} {
		t.Run(fmt.Sprint(rtt), func(t *testing.T) {
			var asked atomic.Int32
			var all chan struct{}
			server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
				if asked.Add(1) == n {
					close(all)
				}
				<-all
				return pipetest.AnswerContent(x)
			}}
			inWorldOver(t, server, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				all = make(chan struct{})
				w.getAll("all", n, time.Second)
				require.EqualValues(t, n, asked.Load())
			})
		})
	}
}

// Handlers that were quick, and take long when many ask, get a connection for each, as
// with net/http: trials of fewer used to be taken for a success, because of what takes
// longer than is usual only so much counted. And a connection that is filled too deeply
// when they become slow holds up those for long.
func TestManyCallersMeetSlowHandlers(t *testing.T) {
	const rtt = 100 * time.Microsecond
	for _, load := range []struct {
		callers int
		rounds  int
		service time.Duration
		longest time.Duration
	}{
		{64, 200, 5 * time.Millisecond, time.Second},
		{64, 200, 10 * time.Millisecond, time.Second},
		{256, 60, 20 * time.Millisecond, 1400 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(load.callers, load.service), func(t *testing.T) {
			server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
				a := pipetest.AnswerContent(x)
				if x.Request.URL.Path == "/slow" {
					a.Delay = load.service
				}
				return a
			}}
			inWorldOver(t, server, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				w.tr.MaxIdleConnsPerHost = 1000
				ask := func(callers, rounds int, path string) (took []time.Duration) {
					var mu sync.Mutex
					var group sync.WaitGroup
					for range callers {
						group.Go(func() {
							for range rounds {
								began := time.Now()
								if _, err := w.get(context.Background(), path); err != nil {
									t.Error(err)
								}
								mu.Lock()
								took = append(took, time.Since(began))
								mu.Unlock()
							}
						})
					}
					group.Wait()
					return took
				}
				ask(8, 100, "/quick")
				took := ask(load.callers, load.rounds, "/slow")
				require.Less(t, slices.Max(took), load.longest)
				took = took[len(took)/2:]
				slices.Sort(took)
				require.LessOrEqual(t, took[len(took)*98/100], load.service*6/5)
				few := ask(6, 20, "/slow")
				slices.Sort(few)
				require.LessOrEqual(t, few[len(few)*9/10], load.service*6/5, "what many have taught is no use to few")
			})
		})
	}
}

// Of the connections that were dialed for a burst, those kept were the ones idle first,
// which nobody had used or that had shown nothing yet: the next burst began anew, up to ten
// round trips long, and the one after that. And the first to an origin far away, of more
// than six, took up to five, as a pair had to be answered first. It takes two now, as with
// net/http; so does the second, which has a pair answered first, and the others one.
func TestEachBurstTakesNoMoreRoundTripsThanWithHTTPTransport(t *testing.T) {
	for rtt, bursts := range map[time.Duration][]int{
		4 * time.Millisecond:  {8, 32, 60},
		50 * time.Millisecond: {2, 3, 8, 32, 60},
	} {
		for _, n := range bursts {
			t.Run(fmt.Sprint(rtt, n), func(t *testing.T) {
				inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
					began := time.Now()
					w.getAll("first", n, time.Second)
					far := rtt > 5*time.Millisecond
					if far {
						require.Less(t, time.Since(began), 2*rtt+rtt/8)
					}
					dials := w.net.Dials()
					for i := range 5 {
						time.Sleep(time.Second)
						began := time.Now()
						w.getAll("next", n, time.Second)
						switch {
						case n < 8:
							require.Less(t, time.Since(began), rtt+rtt/40, "a second one waits for a third no longer than that")
						case i == 0 && far:
							require.Less(t, time.Since(began), 2*rtt+rtt/8)
						default:
							require.Less(t, time.Since(began), rtt+rtt/4)
						}
					}
					more := 5 // until it is known that none is late, which matters nearby
					if far {
						more = 0
					}
					require.LessOrEqual(t, w.net.Dials(), dials+more)
					require.Equal(t, 2, w.tr.Stats().Idle, "of so many net/http keeps no more")
				})
			})
		}
	}
}

// Each caller that had got a connection while nothing was known used to stay on it, for
// as long as there was no moment in which two waited for one; with a trace always, and
// then those who had got none waited for them.
func TestCallersFarAwayComeToShare(t *testing.T) {
	const rtt, each = 50 * time.Millisecond, 60
	traced := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {}})
	for _, n := range []int{3, 6, 32} {
		for name, ctx := range map[string]context.Context{"": context.Background(), " traced": traced} {
			t.Run(fmt.Sprint(n, name), func(t *testing.T) {
				inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
					w.tr.MaxIdleConnsPerHost = 100
					var callers sync.WaitGroup
					began := time.Now()
					for i := range n {
						callers.Go(func() {
							rng := rand.New(rand.NewPCG(1, uint64(i)))
							for j := range each {
								time.Sleep(time.Duration(rng.Int64N(int64(10 * time.Millisecond)))) // 5 ms in the mean
								if _, err := w.get(ctx, fmt.Sprintf("/%d/%d", i, j)); err != nil {
									t.Error(err)
								}
							}
						})
					}
					time.Sleep(each * rtt * 3 / 4)
					deepest := 0
					for range 100 {
						time.Sleep(time.Millisecond)
						deepest = max(deepest, w.tr.Stats().Deepest)
					}
					callers.Wait()
					require.GreaterOrEqual(t, deepest, min(n-1, 6))
					require.Less(t, time.Since(began), each*(rtt+7*time.Millisecond)+3*rtt)
				})
			})
		}
	}
}

// Who is alone, or beside others who get no answer, must not wait for a partner each
// time.
func TestLoneCallerIsNotHeldUp(t *testing.T) {
	const rtt, n = 100 * time.Microsecond, 500
	handler := func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		if x.Request.URL.Path == "/slow" {
			a.Delay = 2 * time.Second
		}
		return a
	}
	for _, others := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			inWorldOver(t, &pipetest.Server{Handler: handler}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				w.getAll("before", 300, time.Second) // one connection, at least, is proved, and rescues are paid for
				var group sync.WaitGroup
				for range others {
					group.Go(func() { w.get(context.Background(), "/slow") })
				}
				time.Sleep(time.Second)
				began := time.Now()
				for range n {
					if _, err := w.get(context.Background(), "/quick"); err != nil {
						t.Error(err)
					}
				}
				took := time.Since(began)
				group.Wait()
				require.Less(t, took, n*rtt*5/4)
			})
		})
	}
}

// One dial that fails must not fail those whose own may succeed.
func TestOneFailedDialFailsOneRequest(t *testing.T) {
	for _, n := range []int{4, 20} {
		inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(25 * time.Millisecond)}, func(w *world) {
			w.net.FailDial(1, errors.New("no route"))
			var failed atomic.Int32
			var callers sync.WaitGroup
			for i := range n {
				callers.Go(func() {
					if _, err := w.get(context.Background(), fmt.Sprint("/", i)); err != nil {
						failed.Add(1)
					}
				})
			}
			callers.Wait()
			require.EqualValues(t, 1, failed.Load(), n)
		})
	}
}

// Requests that come at once to an origin far away that has answered one, or was sent one,
// used to wait for a pair to be answered: for up to three round trips more.
func TestManyAtOnceAfterOneTakeTwoRoundTrips(t *testing.T) {
	const rtt = 50 * time.Millisecond
	for _, wait := range []time.Duration{rtt + 10*time.Millisecond, 3 * rtt} {
		for _, n := range []int{20, 60} {
			t.Run(fmt.Sprint(wait, n), func(t *testing.T) {
				inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
					var callers sync.WaitGroup
					get := func() error {
						_, err := w.get(context.Background(), "/")
						return err
					}
					callers.Go(func() { require.NoError(w.t, get()) })
					time.Sleep(wait)
					require.Less(t, atOnce(t, n, get), 2*rtt+15*time.Millisecond)
					callers.Wait()
				})
			})
		}
	}
}

// Those who waited for a pair to be answered, behind handlers that are neither quick nor
// slow, had the few connections that there were, each with many of them: for two round trips
// more.
func TestThoseWhoFindNoRoomBehindAPairHaveConnections(t *testing.T) {
	const rtt, service = 50 * time.Millisecond, 10 * time.Millisecond
	slow := func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		a.Delay = service
		return a
	}
	inWorldOver(t, &pipetest.Server{Handler: slow}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
		var callers sync.WaitGroup
		get := func() error {
			_, err := w.get(context.Background(), "/")
			return err
		}
		for _, at := range []time.Duration{0, 2 * rtt, 2 * rtt} {
			callers.Go(func() {
				time.Sleep(at)
				require.NoError(t, get())
			})
		}
		time.Sleep(2*rtt + 2*service) // the second and the third are a pair, since the first was answered
		require.Less(t, atOnce(t, 30, get), 3*rtt+2*service)

		callers.Wait()
		require.LessOrEqual(t, w.net.Dials(), 2+30)
	})
}

// All requests share a connection of HTTP/2: once that is known no more are dialed for those
// who come while it is being made.
func TestFewDialsToAnOriginKnownToSpeakHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clientTLS, serverTLS := pipetest.TLSConfigs()
		serverTLS = serverTLS.Clone()
		serverTLS.NextProtos = []string{"h2"}
		network := memnet.New(memnet.Latency(25 * time.Millisecond))
		ln, err := network.Listen(pipetest.Host + ":443")
		require.NoError(t, err)
		server := &http.Server{Handler: http.NotFoundHandler(), TLSConfig: serverTLS}
		go server.ServeTLS(ln, "", "")
		defer server.Close()
		tr := &httppipe.Transport{DialContext: network.DialContext, TLSClientConfig: clientTLS, ForceAttemptHTTP2: true}
		for range 2 {
			before := network.Dials()
			var callers sync.WaitGroup
			for range 30 {
				callers.Go(func() {
					req, err := http.NewRequest("GET", "https://"+pipetest.Host, nil)
					require.NoError(t, err)
					resp, err := tr.RoundTrip(req)
					require.NoError(t, err)
					require.Equal(t, 2, resp.ProtoMajor)
					resp.Body.Close()
				})
				time.Sleep(2 * time.Millisecond)
			}
			callers.Wait()
			if before > 0 {
				require.NotEqual(t, before, network.Dials())
				require.LessOrEqual(t, network.Dials()-before, 6)
			}
			time.Sleep(time.Second)
			tr.CloseIdleConnections()
			time.Sleep(time.Second)
		}
	})
}

// Where all dials fail, those who wait are told after a few, and not one by one; where it
// takes as long as to reach an origin far away, each after their own.
func TestAllDialsFail(t *testing.T) {
	const n = 200
	for way, dials := range map[time.Duration]int{time.Millisecond: 20, 50 * time.Millisecond: n} {
		inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(way / 2)}, func(w *world) {
			w.net.RefuseDials(true)
			began := time.Now()
			var callers sync.WaitGroup
			for i := range n {
				callers.Go(func() {
					_, err := w.get(context.Background(), fmt.Sprint("/", i))
					require.ErrorIs(t, err, syscall.ECONNREFUSED)
				})
			}
			callers.Wait()
			require.Less(t, time.Since(began), 3*way)
			require.LessOrEqual(t, w.net.Dials(), dials)

			before := w.net.Dials()
			for i := range 50 {
				time.Sleep(way / 50) // not at once: nobody has a dial of their own then
				callers.Go(func() {
					_, err := w.get(context.Background(), fmt.Sprint("/", i))
					require.ErrorIs(t, err, syscall.ECONNREFUSED)
				})
			}
			callers.Wait()
			require.Less(t, w.net.Dials()-before, 20)
		})
	}
}

// Dials that hang used to hold up all who waited for a connection, until they failed.
func TestDialsThatHangHoldUpNobodyElse(t *testing.T) {
	inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(25 * time.Millisecond)}, func(w *world) {
		w.net.OnDial(func(ctx context.Context, index int, addr string) error {
			if index <= 7 {
				time.Sleep(time.Minute)
				return errors.New("timeout")
			}
			return nil
		})
		began := time.Now()
		var late atomic.Int32
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				if w.get(context.Background(), fmt.Sprint("/", i)); time.Since(began) > 5*time.Second {
					late.Add(1)
				}
			})
		}
		callers.Wait()
		require.Zero(t, late.Load())
		require.LessOrEqual(t, w.net.Dials(), 20)
		time.Sleep(time.Minute)
	})
}

// Finding out that an origin cannot pipeline costs nobody an error, and not much time.
func TestNewOriginThatCannotPipeline(t *testing.T) {
	for _, pipelining := range []pipetest.Pipelining{pipetest.CloseOnSecond, pipetest.SilentOnPair, pipetest.FirstOnly, pipetest.FirstThenClose} {
		for limit, within := range map[int]time.Duration{0: 700 * time.Millisecond, 2: 3 * time.Second} {
			t.Run(fmt.Sprintf("%d, %d connections", pipelining, limit), func(t *testing.T) {
				server := &pipetest.Server{Plan: func(int) pipetest.Behaviour { return pipetest.Behaviour{Pipelining: pipelining} }}
				inWorldOver(t, server, []memnet.Option{memnet.Latency(25 * time.Millisecond)}, func(w *world) {
					w.tr.MaxConnsPerHost = limit
					began := time.Now()
					w.getAll("many", 64, 10*time.Second)
					require.Less(t, time.Since(began), within)
				})
			})
		}
	}
}
