package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
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

func TestProofInSteps(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		var calls []*pipetest.Call
		for _, name := range strings.Split("abcdefghij", "") {
			calls = append(calls, client.Get("/"+name))
		}
		conn := origin.Conn(0)
		conn.WantRequests("GET /a") // one alone
		conn.Send(okay("a"))
		conn.WantRequests("GET /b", "GET /c") // a pair
		conn.WantOneWrite("GET /b", "GET /c")
		conn.Send(okay("b"))
		conn.WantNoRequest() // the pair is seen through
		conn.Send(okay("c"))
		// All others at once, in whatever order their callers are woken.
		synctest.Wait()
		var targets []string
		for _, r := range conn.Requests()[3:] {
			targets = append(targets, r.Target)
			conn.Send(okay(strings.TrimPrefix(r.Target, "/")))
		}
		slices.Sort(targets)
		require.Equal(t, "/d /e /f /g /h /i /j", strings.Join(targets, " "))
		for i, name := range strings.Split("abcdefghij", "") {
			calls[i].WantContent(name)
		}
		origin.WantConns(1)
	}, oneConn())
}

func TestEachConnectionIsProved(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		provenFirst(origin, client)
		post := client.Post("/post", "x") // makes them need another
		origin.Conn(0).WantRequests("POST /post")
		a, b, c := client.Get("/a"), client.Get("/b"), client.Get("/c")
		second := origin.Conn(2)
		second.WantRequests("GET /a")
		second.Send(okay("a"))
		second.WantRequests("GET /b", "GET /c")
		second.WantOneWrite("GET /b", "GET /c")
		second.Send(okay("b") + okay("c"))
		origin.Conn(0).Send(okay("p"))
		post.WantContent("p")
		a.WantContent("a")
		b.WantContent("b")
		c.WantContent("c")
	}, maxConns(2))
}

// A pair joined by a late second proves nothing: some servers lose the second of
// two in one segment, and answer the third in its place.
func TestLatePairIsNoProof(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		a := client.Get("/a")
		conn := origin.Conn(0)
		conn.Send(okay("a"))
		a.WantContent("a")
		for range 3 {
			b := client.Get("/b")
			c := client.Get("/c")
			time.Sleep(2 * time.Millisecond) // the second has waited long enough
			d := client.Get("/d")
			time.Sleep(10 * time.Millisecond)
			conn.WantRequests(map[bool][]string{true: {"GET /a", "GET /b", "GET /c"}, false: {"GET /b", "GET /c"}}[a != nil]...)
			conn.WantOneWrite("GET /c")
			conn.Send(okay("b") + okay("c"))
			b.WantContent("b")
			c.WantContent("c")
			time.Sleep(2 * time.Millisecond) // for another to go along with /d
			conn.WantRequests("GET /d")
			conn.Send(okay("d"))
			d.WantContent("d")
			a = nil
		}
	}, oneConn())
}

func TestMaxPipelineDepth(t *testing.T) {
	for _, depth := range []int{2, 3, 7} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				var all []string
				for i := range depth + 2 {
					all = append(all, fmt.Sprint("GET /", i))
					client.Get(fmt.Sprint("/", i))
				}
				conn.WantRequests(all[:depth]...)
				conn.Send(okay(""))
				conn.WantRequests(all[depth])
				conn.Send(okay(""))
				conn.WantRequests(all[depth+1])
			}, oneConn(), maxDepth(depth))
		})
	}
}

func TestDepthOneIsNetHTTP(t *testing.T) {
	for _, depth := range []int{1, -1} {
		scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
			for round := range 3 {
				calls := client.Together(client.NewRequest("GET", "/", nil), client.NewRequest("GET", "/", nil), client.NewRequest("GET", "/", nil))
				origin.WantConns(3)
				for i := range 3 {
					conn := origin.Conn(i)
					require.Len(t, conn.Requests(), round+1)
					conn.Send(okay("x"))
				}
				for _, call := range calls {
					call.WantContent("x")
				}
			}
		}, maxDepth(depth), func(tr *httppipe.Transport) { tr.MaxIdleConnsPerHost = 3 })
	}
}

// Answers reach their callers in order, octet for octet, however they are cut.
func TestOrderedDelivery(t *testing.T) {
	for _, opts := range [][]pipetest.Option{nil, {pipetest.TLS()}} {
		for _, cut := range []int{1, 77, 3001, 1 << 20} {
			synctest.Test(t, func(t *testing.T) { orderedDelivery(t, cut, opts...) })
		}
	}
}

func orderedDelivery(t *testing.T, cut int, opts ...pipetest.Option) {
	origin, client := pipetest.New(t, piped(oneConn()), opts...)
	conn := proven(origin, client)
	var calls []*pipetest.Call
	sent := ""
	for i := range 50 {
		path := fmt.Sprint("/", i)
		calls = append(calls, client.Get(path))
		conn.WantRequests("GET " + path)
		content := string(pipetest.Content(path, 17*i))
		if i%3 == 0 {
			sent += chunked(content)
		} else {
			sent += okay(content)
		}
	}
	for len(sent) > 0 {
		n := min(len(sent), cut)
		conn.Send(sent[:n])
		synctest.Wait()
		sent = sent[n:]
	}
	for i, call := range calls {
		call.WantContent(string(pipetest.Content(fmt.Sprint("/", i), 17*i)))
	}
}

// chunked is a response with content in one chunk.
func chunked(body string) string {
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	if body == "" {
		return head + "0\r\n\r\n"
	}
	return fmt.Sprintf("%s%x\r\n%s\r\n0\r\n\r\n", head, len(body), body)
}

// Callers that come together while others are in flight leave in few writes.
func TestCallersTogetherLeaveInOneWrite(t *testing.T) {
	// With one processor it is certain who runs when one yields: all others.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		for range 3 {
			const n = 32
			before := len(conn.Writes())
			var reqs []*http.Request
			for range n {
				reqs = append(reqs, client.NewRequest("GET", "/", nil))
			}
			calls := client.Together(reqs...)
			require.LessOrEqual(t, len(conn.Writes())-before, n/4, "writes for %d callers", n)
			conn.Send(strings.Repeat(okay("x"), n))
			for _, call := range calls {
				call.WantContent("x")
			}
		}
	}, oneConn())
}

// exclusives are requests that share no connection, made by client.
var exclusives = map[string]func(client *pipetest.Client) *http.Request{
	"POST":   func(c *pipetest.Client) *http.Request { return c.NewRequest("POST", "/x", strings.NewReader("x")) },
	"PUT":    func(c *pipetest.Client) *http.Request { return c.NewRequest("PUT", "/x", strings.NewReader("x")) },
	"DELETE": func(c *pipetest.Client) *http.Request { return c.NewRequest("DELETE", "/x", nil) },
	"PATCH":  func(c *pipetest.Client) *http.Request { return c.NewRequest("PATCH", "/x", nil) },
	"method": func(c *pipetest.Client) *http.Request { return c.NewRequest("BREW", "/x", nil) },
	"body of GET": func(c *pipetest.Client) *http.Request {
		return c.NewRequest("GET", "/x", strings.NewReader("x"))
	},
	"unknown body of GET": func(c *pipetest.Client) *http.Request {
		return c.NewRequest("GET", "/x", io.MultiReader(strings.NewReader("x")))
	},
	"empty body of GET": func(c *pipetest.Client) *http.Request {
		return c.NewRequest("GET", "/x", io.MultiReader())
	},
	"Expect":     getWith("Expect", "100-continue"),
	"Connection": getWith("Connection", "x-foo"),
	"Upgrade":    getWith("Upgrade", "chat"),
	"NTLM":       getWith("Authorization", "NTLM TlRMTVNTUAAB"),
	"Negotiate":  getWith("Authorization", "negotiate YII="),
	"proxy NTLM": getWith("Proxy-Authorization", "NTLM TlRMTVNTUAAB"),
	"Close": func(c *pipetest.Client) *http.Request {
		req := c.NewRequest("GET", "/x", nil)
		req.Close = true
		return req
	},
}

func getWith(name, value string) func(*pipetest.Client) *http.Request {
	return func(c *pipetest.Client) *http.Request {
		req := c.NewRequest("GET", "/x", nil)
		req.Header.Set(name, value)
		return req
	}
}

func TestExclusiveRequestsShareNoConnection(t *testing.T) {
	for name, request := range exclusives {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				conn := proven(origin, client)
				req := request(client)
				line := req.Method + " /x"
				a := client.Get("/a")
				conn.WantRequests("GET /a")
				x := client.Do(req)
				time.Sleep(300 * time.Millisecond) // a body of unknown length is waited for
				conn.WantNoRequest()               // nothing exclusive behind a shared one
				b := client.Get("/b")
				conn.WantNoRequest() // it is a barrier
				conn.Send(okay("a"))
				a.WantContent("a")
				conn.WantRequests(line)
				time.Sleep(time.Minute)
				conn.WantNoRequest() // nothing behind it
				x.WantPending("it is not answered")
				b.WantPending("it waits for the exclusive one")
				conn.Send(okay("x"))
				x.WantContent("x")
				if req.Close {
					conn.WantClosed()
					conn = origin.Conn(1)
				}
				conn.WantRequests("GET /b")
				conn.Send(okay("b"))
				b.WantContent("b")
			}, oneConn())
		})
	}
}

func TestSharedMethods(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		client.Get("/a")
		client.Head("/b")
		client.Do(client.NewRequest("OPTIONS", "/c", nil))
		client.Do(client.NewRequest("TRACE", "/d", nil))
		client.Do(client.NewRequest("GET", "/e", http.NoBody))
		client.Do(getWith("Authorization", "Bearer x")(client))
		conn.WantRequests("GET /a", "HEAD /b", "OPTIONS /c", "TRACE /d", "GET /e", "GET /x")
	}, oneConn())
}

func TestPipelineUploads(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		large := string(pipetest.Content("large", 200_000))
		put := func(path, content string) *pipetest.Call {
			return client.Do(client.NewRequest("PUT", path, strings.NewReader(content)))
		}
		calls := []*pipetest.Call{
			put("/1", "one"), client.Get("/2"), put("/3", large),
			client.Do(client.NewRequest("DELETE", "/4", nil)), put("/5", ""),
		}
		conn.WantRequests("PUT /1", "GET /2", "PUT /3", "DELETE /4", "PUT /5")
		post := client.Post("/6", "post")
		once := client.Do(client.NewRequest("PUT", "/7", io.MultiReader(strings.NewReader("cannot be rewound"))))
		conn.WantNoRequest()
		for i, call := range calls {
			conn.Send(okay(fmt.Sprint(i)))
			call.WantContent(fmt.Sprint(i))
		}
		conn.WantRequests("POST /6")
		conn.Send(okay("post"))
		post.WantContent("post")
		conn.WantRequests("PUT /7")
		conn.Send(okay("once"))
		once.WantContent("once")
		var got []string
		for _, r := range conn.Requests()[3:] {
			got = append(got, string(r.Body))
		}
		require.Equal(t, []string{"one", "", large, "", "", "post", "cannot be rewound"}, got)
	}, oneConn(), uploads())
}

// Uploads alone open the depth too: the user has vouched for the origin.
func TestUploadsOpenTheDepth(t *testing.T) {
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer { return pipetest.Answer{Echo: true} }}
	inWorld(t, server, func(w *world) {
		deepest := 0
		var group sync.WaitGroup
		for i := range 30 {
			group.Go(func() {
				content := string(pipetest.Content(fmt.Sprint(i), 1000))
				got, err := w.fetch(context.Background(), "PUT", fmt.Sprint("/", i), content)
				if err != nil || got != content {
					w.t.Errorf("PUT /%d: %d octets, %v", i, len(got), err)
				}
			})
		}
		for range 20 {
			time.Sleep(time.Millisecond)
			deepest = max(deepest, w.tr.Stats().Deepest)
		}
		group.Wait()
		require.Greater(w.t, deepest, 2)
		require.Empty(w.t, server.Repeated())
	}, oneConn(), uploads())
}

// Half of the requests being POST must not cost more connections than net/http.
func TestMixedRunDialsNoMore(t *testing.T) {
	dials := func(t *testing.T, make func(pipetest.DialFunc) http.RoundTripper) (n int) {
		synctest.Test(t, func(t *testing.T) {
			server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
				return pipetest.Answer{Size: 10, Delay: time.Millisecond}
			}}
			w := newWorld(t, server, make, memnet.Latency(10*time.Millisecond))
			var callers sync.WaitGroup
			for i := range 16 {
				callers.Go(func() {
					for j := range 40 {
						method, content := "GET", ""
						if (i+j)%2 == 0 {
							method, content = "POST", "x"
						}
						if _, err := w.fetch(context.Background(), method, fmt.Sprintf("/%d/%d", i, j), content); err != nil {
							t.Error(err)
						}
					}
				})
			}
			callers.Wait()
			n = w.net.Dials()
			w.wantNothingLeft()
		})
		return n
	}
	const idle = 16
	ours := dials(t, piped(func(tr *httppipe.Transport) { tr.MaxIdleConnsPerHost = idle }))
	theirs := dials(t, func(dial pipetest.DialFunc) http.RoundTripper {
		return &http.Transport{DialContext: dial, MaxIdleConnsPerHost: idle}
	})
	require.LessOrEqual(t, ours, theirs)
}

// Steady GETs must not keep a POST waiting when there can be no more connections.
func TestExclusiveIsNotStarved(t *testing.T) {
	for _, conns := range []int{1, 3} {
		server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
			return pipetest.Answer{Size: 10, Delay: time.Millisecond}
		}}
		inWorld(t, server, func(w *world) {
			ctx, stop := context.WithCancel(context.Background())
			var gets sync.WaitGroup
			for i := range 30 {
				gets.Go(func() {
					for ctx.Err() == nil {
						w.get(ctx, fmt.Sprint("/", i))
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			for range 5 {
				begin := time.Now()
				_, err := w.fetch(within(w.t, 10*time.Second), "POST", "/post", "x")
				if err != nil {
					stop() // or the others go on for ever
				}
				require.NoError(w.t, err)
				require.Less(w.t, time.Since(begin), 300*time.Millisecond)
			}
			stop()
			gets.Wait()
		}, maxConns(conns))
	}
}

// Many POSTs must not starve the GETs either.
func TestSharedIsNotStarved(t *testing.T) {
	inWorld(t, &pipetest.Server{}, func(w *world) {
		ctx, stop := context.WithCancel(context.Background())
		var posts sync.WaitGroup
		for range 10 {
			posts.Go(func() {
				for ctx.Err() == nil {
					w.fetch(ctx, "POST", "/post", "x")
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		for range 5 {
			begin := time.Now()
			_, err := w.get(within(w.t, 10*time.Second), "/get")
			if err != nil {
				stop() // or the others go on for ever
			}
			require.NoError(w.t, err)
			require.Less(w.t, time.Since(begin), 300*time.Millisecond)
		}
		stop()
		posts.Wait()
	}, oneConn())
}
