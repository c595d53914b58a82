package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

// serve runs test against a server of net/http that handles requests with handler,
// in virtual time and a round trip of 2 ms.
func serve(t *testing.T, handler http.HandlerFunc, test func(tr *httppipe.Transport, fetch func(ctx context.Context, method, path string) error)) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New(memnet.Latency(time.Millisecond))
		ln, err := network.Listen("origin.test:80")
		require.NoError(t, err)
		server := &http.Server{Handler: handler}
		go server.Serve(ln)
		defer server.Close()
		tr := &httppipe.Transport{DialContext: network.DialContext}
		defer tr.CloseIdleConnections()
		test(tr, func(ctx context.Context, method, path string) error {
			var content io.Reader
			if method == http.MethodPost {
				content = strings.NewReader("content")
			}
			req, err := http.NewRequestWithContext(ctx, method, "http://origin.test"+path, content)
			require.NoError(t, err)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	})
}

// Pipelined requests that are not replayable used to fail when their connection was
// closed as silent, although it was the origin that took long.
func TestSlowVouchedRequestsAreAnswered(t *testing.T) {
	for _, slow := range []time.Duration{400 * time.Millisecond, 1500 * time.Millisecond, 15 * time.Second} {
		for _, gets := range []int{1, 6} { // a pair, and a connection that is proved
			t.Run(fmt.Sprint(slow, gets), func(t *testing.T) {
				var mu sync.Mutex
				received := make(map[string]int)
				handler := func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					received[r.URL.Path]++
					mu.Unlock()
					if r.Method == http.MethodPost {
						time.Sleep(slow)
					}
				}
				serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
					tr.MaxConnsPerHost = 1
					all := func(n int, method string) {
						var group sync.WaitGroup
						for i := range n {
							group.Go(func() {
								ctx := httppipe.WithPipelining(context.Background(), httppipe.Pipeline)
								if err := fetch(ctx, method, fmt.Sprint("/", method, i)); err != nil {
									t.Error(err)
								}
							})
						}
						group.Wait()
					}
					all(gets, http.MethodGet)
					all(gets, http.MethodGet)
					all(2, http.MethodPost)
					require.Equal(t, 1, received["/POST0"])
					require.Equal(t, 1, received["/POST1"])
				})
			})
		}
	}
}

// Where many answers were slow, that counted as usual after a while, and requests
// were left behind them.
func TestFastRequestsDoNotWaitForManyPolls(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/poll" {
			time.Sleep(30 * time.Second)
		}
	}
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		tr.MaxIdleConnsPerHost = 10
		ctx := context.Background()
		for range 700 {
			var group sync.WaitGroup
			group.Go(func() { fetch(ctx, http.MethodGet, "/poll") })
			for range 3 {
				time.Sleep(7 * time.Second)
				var fast sync.WaitGroup
				for range 4 {
					fast.Go(func() {
						began := time.Now()
						if err := fetch(ctx, http.MethodGet, "/fast"); err != nil || time.Since(began) > 1100*time.Millisecond {
							t.Error("a fast request took", time.Since(began), err)
						}
					})
				}
				fast.Wait()
			}
			group.Wait()
		}
	})
}

// The end of a connection outside of any pool teaches nobody anything; it used to
// panic.
func TestClientConnSurvivesClose(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") }
	serve(t, handler, func(tr *httppipe.Transport, _ func(context.Context, string, string) error) {
		conn, err := tr.NewClientConn(context.Background(), "http", "origin.test:80")
		require.NoError(t, err)
		defer conn.Close()
		req, err := http.NewRequest(http.MethodGet, "http://origin.test/", nil)
		require.NoError(t, err)
		resp, err := conn.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	})
}

// Heads that arrive while the content before them is read tell nothing of how long their
// own content takes: it was taken for nothing, and all went through two connections.
func TestSlowContentIsSpread(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		time.Sleep(30 * time.Millisecond)
		w.Write(make([]byte, 1<<20))
	}
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		var took time.Duration
		for range 4 { // the first of which teaches
			began := time.Now()
			var group sync.WaitGroup
			for range 16 {
				group.Go(func() {
					for range 8 {
						if err := fetch(context.Background(), "GET", "/"); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			took = time.Since(began)
		}
		require.Less(t, took, 4*8*30*time.Millisecond)
	})
}

// After a head that was late for long the next look was far away, also for those who
// came behind another head in the meantime.
func TestNewHeadIsLookedAtInTime(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := provenFirst(origin, client)
		for range 600 { // which pay for rescues, and show that hardly any are late
			w := client.Get("/w")
			conn.WantRequests("GET /w")
			time.Sleep(5 * time.Millisecond) // the round trip
			conn.Send(okay("w"))
			w.WantContent("w")
		}
		a, b, b2 := client.Get("/a"), client.Get("/b"), client.Get("/b2")
		post := client.Post("/post", "x")
		conn.WantRequests("GET /a", "GET /b", "GET /b2")
		second := origin.Conn(2)
		second.WantRequests("POST /post")
		time.Sleep(8300 * time.Millisecond)
		conn.Send(okay("a"))
		a.WantContent("a")
		c := client.Get("/c")
		conn.WantRequests("GET /c")
		second.Send(okay("post"))
		post.WantContent("post")
		time.Sleep(100 * time.Millisecond) // behind /b, it has not been answered
		require.EqualValues(t, 2, client.Transport().(*httppipe.Transport).Stats().Rescues)
		again := second.Requests()[1:]
		require.Len(t, again, 2)
		answer := map[string]string{"/b2": okay("b2"), "/c": okay("c")} // in whichever order their callers came
		second.Send(answer[again[0].Target] + answer[again[1].Target])
		b2.WantContent("b2")
		c.WantContent("c")
		b.Cancel()
	}, maxConns(2))
}

// An answer that was a few milliseconds late had those behind it sent again, which takes a
// round trip: far from the origin they were answered much later for that.
func TestWhoIsALittleLateIsNotSentTwice(t *testing.T) {
	const rtt, late = 40 * time.Millisecond, 20 * time.Millisecond
	for again, slow := range map[bool]time.Duration{false: late, true: 10 * rtt} {
		t.Run(slow.String(), func(t *testing.T) {
			server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
				a := pipetest.AnswerContent(x)
				if strings.HasSuffix(x.Request.URL.Path, "-7") {
					a.Delay = slow
				}
				return a
			}}
			inWorldOver(t, server, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
				w.tr.MaxConnsPerHost, w.tr.MaxIdleConnsPerHost = 4, 4
				for i := range 8 {
					began := time.Now()
					w.getAll(fmt.Sprint(i, "-"), 60, 10*time.Second)
					if i > 0 && !again {
						require.Less(t, time.Since(began), rtt+late+rtt/2)
					}
				}
				require.Equal(t, again, w.tr.Stats().Rescues > 0)
			})
		})
	}
}

// Dials that take longer than one has, as through another network, are no crowd.
func TestSlowerDialsAreNotLimited(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
			dial, wait := tr.DialContext, time.Duration(0)
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				time.Sleep(wait)
				return dial(ctx, network, addr)
			}
			for _, n := range []int{1, 100, 300} {
				require.LessOrEqual(t, atOnce(t, n, func() error { return fetch(context.Background(), method, "/") }), wait+110*time.Millisecond, n)
				wait = 900 * time.Millisecond
			}
		})
	}
}

// atOnce returns how long it takes to fetch n times at once.
func atOnce(t *testing.T, n int, fetch func() error) time.Duration {
	began := time.Now()
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() { require.NoError(t, fetch()) })
	}
	callers.Wait()
	return time.Since(began)
}

// When it was time to send one behind another, to see whether handlers are still slow, no
// more than six connections were dialed, if none had shown that the origin can pipeline.
// All who came in that moment waited for a pair: three handlers in place of one.
func TestManyAtOnceWhenItIsTimeToSee(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { time.Sleep(200 * time.Millisecond) }
	for _, before := range []int{1, 20, 255, 256, 300} {
		serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
			get := func() error { return fetch(context.Background(), http.MethodGet, "/") }
			for range before {
				require.NoError(t, get())
			}
			require.LessOrEqual(t, atOnce(t, 100, get), 204*time.Millisecond, before)
		})
	}
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		for i := range 4 {
			require.LessOrEqual(t, atOnce(t, 300, func() error { return fetch(context.Background(), http.MethodGet, "/") }), 300*time.Millisecond, i)
			tr.CloseIdleConnections()
		}
	})
}

// While some waited long enough to join others on connections that were not proved, none
// was free for the pair in one write that would have proved it, so that no more were dialed
// than for an origin that is not known: 500 requests at once took 1.8 s, one after the other
// on six connections. With net/http they take 24 ms.
func TestManyAtOnceMeetSlowHandlers(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) }
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		get := func() error { return fetch(context.Background(), http.MethodGet, "/") }
		require.Equal(t, 24*time.Millisecond, atOnce(t, 1, get))
		require.Equal(t, 24*time.Millisecond, atOnce(t, 40, get), "the handler takes longer than the way")
		require.Less(t, atOnce(t, 500, get), 50*time.Millisecond)
		require.Less(t, atOnce(t, 500, get), 50*time.Millisecond)
	})
}

// The same where the way is not known to be shorter than what an answer takes.
func TestManyAtOnceMeetHandlersThatMayBeFarAway(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		for _, n := range []int{1, 40, 500} {
			require.Less(t, atOnce(t, n, func() error { return fetch(context.Background(), http.MethodGet, "/") }), 40*time.Millisecond, n)
		}
	})
}

// Connections to slow handlers used to be proved all the same, each by a pair whose second
// request waited for two handlers: of any twenty requests at once one took twice the time.
// One such pair shows that it is the handlers that are slow, and not the way.
func TestSlowHandlersGetNoPairs(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) }
	serve(t, handler, func(tr *httppipe.Transport, fetch func(context.Context, string, string) error) {
		tr.MaxIdleConnsPerHost = 100
		get := func() error { return fetch(context.Background(), http.MethodGet, "/") }
		require.NoError(t, get())
		twice := 0
		for range 10 {
			if atOnce(t, 20, get) > 24*time.Millisecond {
				twice++
			}
		}
		require.LessOrEqual(t, twice, 1)
	})
}
