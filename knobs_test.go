package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
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

// choosing is how a test makes a choice for a request. The function returned
// prepares the request.
type choosing func(*httppipe.Transport, httppipe.Pipelining) (prepare func(*http.Request) *http.Request)

// choosings are the two ways to make a choice, which mean the same.
var choosings = map[string]choosing{
	"context": func(_ *httppipe.Transport, choice httppipe.Pipelining) func(*http.Request) *http.Request {
		return func(req *http.Request) *http.Request {
			return req.WithContext(httppipe.WithPipelining(req.Context(), choice))
		}
	},
	"hook": func(tr *httppipe.Transport, choice httppipe.Pipelining) func(*http.Request) *http.Request {
		tr.Classify = func(req *http.Request) httppipe.Pipelining {
			if req.URL.Path == "/x" {
				return choice
			}
			return httppipe.ByMethod
		}
		return func(req *http.Request) *http.Request { return req }
	},
}

// chosen runs f with a proven connection, the only one there may be, and with what
// makes the choice for a request for /x: once by context, once by hook.
func chosen(t *testing.T, choice httppipe.Pipelining, f func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request), changes ...change) {
	t.Helper()
	for name, choose := range choosings {
		t.Run(name, func(t *testing.T) {
			var prepare func(*http.Request) *http.Request
			changes := append([]change{oneConn(), func(tr *httppipe.Transport) { prepare = choose(tr, choice) }}, changes...)
			scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
				f(t, origin, client, proven(origin, client), prepare)
			}, changes...)
		})
	}
}

// A request chosen as Pipeline is sent behind others, and others behind it, though
// its method would not.
func TestPipelineIsSentBehindOthers(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "BREW", "GET"} {
		t.Run(method, func(t *testing.T) {
			chosen(t, httppipe.Pipeline, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
				a := client.Get("/a")
				x := client.Do(prepare(client.NewRequest(method, "/x", strings.NewReader("content"))))
				b := client.Get("/b")
				conn.WantRequests("GET /a", method+" /x", "GET /b")
				require.Equal(t, "content", string(conn.Requests()[4].Body))
				conn.Send(okay("a") + okay("x") + okay("b"))
				a.WantContent("a")
				x.WantContent("x")
				b.WantContent("b")
			})
		})
	}
}

// What cannot share a connection does not, whatever was chosen for it.
func TestPipelineOfWhatCannotShare(t *testing.T) {
	cannot := map[string]func(*pipetest.Client) *http.Request{
		"content that can be had once": func(c *pipetest.Client) *http.Request {
			return c.NewRequest("POST", "/x", io.MultiReader(strings.NewReader("x")))
		},
		"content that may be none": func(c *pipetest.Client) *http.Request {
			req := c.NewRequest("DELETE", "/x", io.MultiReader())
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(io.MultiReader()), nil }
			return req
		},
	}
	for _, name := range []string{"Expect", "Connection", "Upgrade", "NTLM", "Close"} {
		cannot[name] = exclusives[name]
	}
	for name, request := range cannot {
		t.Run(name, func(t *testing.T) {
			chosen(t, httppipe.Pipeline, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
				client.Get("/a")
				conn.WantRequests("GET /a")
				req := prepare(request(client))
				client.Do(req)
				time.Sleep(300 * time.Millisecond) // a body of unknown length is waited for
				conn.WantNoRequest()
				conn.Send(okay("a"))
				conn.WantRequests(req.Method + " /x")
				client.Get("/b")
				conn.WantNoRequest()
			})
		})
	}
}

// Never and Alone: nothing is sent before the request is alone, and nothing behind
// it until its response has begun, or ended.
func TestNeverAndAloneOnTheWire(t *testing.T) {
	for choice, follows := range map[httppipe.Pipelining]bool{httppipe.Never: true, httppipe.Alone: false} {
		chosen(t, choice, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
			a := client.Get("/a")
			conn.WantRequests("GET /a")
			x := client.Do(prepare(client.NewRequest("GET", "/x", nil)))
			conn.WantNoRequest() // a is not answered
			time.Sleep(time.Microsecond)
			b := client.Get("/b")
			conn.WantNoRequest() // it does not overtake x
			conn.Send(okay("a"))
			a.WantContent("a")
			conn.WantRequests("GET /x")
			b.WantPending("x is not answered")
			conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n")
			conn.WantNoRequest() // nor has its answer begun
			conn.Send("\r\nhe")
			x.WantContentSoFar("he")
			if follows {
				conn.WantRequests("GET /b")
				conn.Send("ad")
			} else {
				conn.WantNoRequest()
				conn.Send("ad")
				conn.WantRequests("GET /b")
			}
			x.WantContent("head")
			conn.Send(okay("b"))
			b.WantContent("b")
		})
	}
}

// Nothing is sent behind a response without end in sight: who waits behind an event
// stream waits for ever.
func TestNothingBehindAnEventStream(t *testing.T) {
	for _, choice := range []httppipe.Pipelining{httppipe.ByMethod, httppipe.Never, httppipe.Alone} {
		chosen(t, choice, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
			x := client.Do(prepare(client.NewRequest("POST", "/x", strings.NewReader("query"))))
			conn.WantRequests("POST /x")
			conn.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")
			x.WantContentSoFar("event")
			b := client.Get("/b")
			time.Sleep(time.Hour)
			conn.WantNoRequest()
			conn.Send("0\r\n\r\n")
			conn.WantRequests("GET /b")
			conn.Send(okay("b"))
			b.WantContent("b")
		})
	}
}

// The answer may come before the content is sent. Nothing follows until it is.
func TestNothingBehindAnUploadThatIsAnsweredEarly(t *testing.T) {
	chosen(t, httppipe.Never, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
		content, upload := io.Pipe()
		req := client.NewRequest("PUT", "/x", content)
		req.ContentLength = 4
		x := client.Do(prepare(req))
		io.WriteString(upload, "he")
		conn.WantRequests("PUT /x")
		conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda")
		x.WantContentSoFar("da")
		b := client.Get("/b")
		conn.WantNoRequest()
		require.Equal(t, 1, client.Transport().(*httppipe.Transport).Stats().Waiting, "it could go elsewhere")
		io.WriteString(upload, "ad")
		upload.Close()
		conn.Send("ta")
		x.WantContent("data")
		conn.WantRequests("GET /b")
		require.Equal(t, "head", string(conn.Requests()[3].Body))
		conn.Send(okay("b"))
		b.WantContent("b")
	})
}

// A choice changes nothing about which requests are sent again: Pipeline makes none
// replayable that net/http would not send again, but for those that are
// idempotent, and the others take no such request away.
func TestChoiceAndReplay(t *testing.T) {
	for name, test := range map[string]struct {
		choice   httppipe.Pipelining
		method   string
		key      bool
		replayed bool
	}{
		"POST, Pipeline":           {httppipe.Pipeline, "POST", false, false},
		"POST with key, Pipeline":  {httppipe.Pipeline, "POST", true, true},
		"POST with key, Never":     {httppipe.Never, "POST", true, true},
		"POST with key, Alone":     {httppipe.Alone, "POST", true, true},
		"PATCH, Pipeline":          {httppipe.Pipeline, "PATCH", false, false},
		"PUT, Pipeline":            {httppipe.Pipeline, "PUT", false, true},
		"PUT, Never":               {httppipe.Never, "PUT", false, false},
		"GET with body, Never":     {httppipe.Never, "GET", false, true},
		"OPTIONS with body, Alone": {httppipe.Alone, "OPTIONS", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			chosen(t, test.choice, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
				req := prepare(client.NewRequest(test.method, "/x", strings.NewReader("content")))
				if test.key {
					req.Header["Idempotency-Key"] = nil
				}
				x := client.Do(req)
				conn.WantRequests(test.method + " /x")
				conn.WantBody("content")
				conn.Reset()
				if !test.replayed {
					require.NotErrorIs(t, x.WantError(syscall.ECONNRESET), httppipe.ErrUnprocessed)
					time.Sleep(time.Minute)
					origin.WantConns(1)
					return
				}
				second := origin.Conn(1)
				second.WantRequests(test.method + " /x")
				second.WantBody("content")
				second.Send(okay("done"))
				x.WantContent("done")
			})
		})
	}
}

// A GET for which sharing was turned off is as replayable as any.
func TestGetOutOfThePipelineIsReplayed(t *testing.T) {
	for _, choice := range []httppipe.Pipelining{httppipe.Never, httppipe.Alone} {
		chosen(t, choice, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
			x := client.Do(prepare(client.NewRequest("GET", "/x", nil)))
			conn.WantRequests("GET /x")
			conn.Reset()
			second := origin.Conn(1)
			second.WantRequests("GET /x")
			second.Send(okay("x"))
			x.WantContent("x")
		})
	}
}

// A pipelined POST behind a request whose connection ends is not sent again: some
// of it was sent.
func TestPipelinedPostIsSentOnce(t *testing.T) {
	chosen(t, httppipe.Pipeline, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
		a := client.Get("/a")
		x := client.Do(prepare(client.NewRequest("POST", "/x", strings.NewReader("x"))))
		b := client.Get("/b")
		conn.WantRequests("GET /a", "POST /x", "GET /b")
		conn.Send(okay("a"))
		conn.Reset()
		a.WantContent("a")
		x.WantError(syscall.ECONNRESET)
		answerByPath(origin, 1)
		b.WantContent("b")
		for _, r := range origin.Requests() {
			require.False(t, r.Method == "POST" && r.Conn > 0, "it was sent again")
		}
	})
}

// Requests that are pipelined by choice alone open the depth: the user has vouched
// for the origin.
func TestPipelinedPostsOpenTheDepth(t *testing.T) {
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer { return pipetest.Answer{Echo: true} }}
	inWorld(t, server, func(w *world) {
		var deepest atomic.Int64
		var group sync.WaitGroup
		for i := range 30 {
			group.Go(func() {
				ctx := httppipe.WithPipelining(context.Background(), httppipe.Pipeline)
				if got, err := w.fetch(ctx, "POST", fmt.Sprint("/", i), "content"); err != nil || got != "content" {
					w.t.Errorf("%q, %v", got, err)
				}
				deepest.Store(max(deepest.Load(), int64(w.tr.Stats().Deepest)))
			})
		}
		group.Wait()
		require.Greater(w.t, deepest.Load(), int64(2))
		require.Empty(w.t, server.Repeated())
	}, oneConn())
}

// No choice goes beyond MaxPipelineDepth.
func TestPipelineWithinTheDepth(t *testing.T) {
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		ctx := httppipe.WithPipelining(context.Background(), httppipe.Pipeline)
		for range 3 {
			client.Do(client.NewRequest("POST", "/x", strings.NewReader("x")).WithContext(ctx))
		}
		conn := origin.Conn(0)
		conn.WantRequests("POST /x")
		conn.Send(okay("x"))
		conn.WantRequests("POST /x")
	}, oneConn(), maxDepth(1))
}

// The context comes before the hook, ByMethod leaves the choice to it, and it is
// asked once for each request, however many times that is sent.
func TestContextComesBeforeClassify(t *testing.T) {
	asked := 0
	scripted(t, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client) {
		conn := proven(origin, client)
		asked = 0
		get := func(path string, choices ...httppipe.Pipelining) *pipetest.Call {
			req := client.NewRequest("GET", path, nil)
			for _, choice := range choices {
				req = req.WithContext(httppipe.WithPipelining(req.Context(), choice))
			}
			return client.Do(req)
		}
		client.Get("/a") // the hook says Never
		conn.WantRequests("GET /a")
		require.Equal(t, 1, asked)
		get("/b", httppipe.Pipeline)
		conn.WantNoRequest()
		conn.Send(okay("a"))
		conn.WantRequests("GET /b")
		get("/c", httppipe.Never, httppipe.Pipeline)
		conn.WantRequests("GET /c")
		require.Equal(t, 1, asked, "the context has chosen")
		get("/d", httppipe.Pipeline, httppipe.ByMethod)
		require.Equal(t, 2, asked, "the context has no choice left")
		conn.WantNoRequest()
		conn.Send(okay("b") + okay("c"))
		conn.WantRequests("GET /d")
		conn.Reset()
		origin.Conn(1).WantRequests("GET /d")
		require.Equal(t, 2, asked, "asked again for an attempt")
	}, oneConn(), func(tr *httppipe.Transport) {
		tr.Classify = func(req *http.Request) httppipe.Pipelining {
			if asked++; strings.HasPrefix(req.URL.Path, "/proof") {
				return httppipe.ByMethod
			}
			return httppipe.Never
		}
	})
}

// What is no choice is none.
func TestUnknownChoiceIsByMethod(t *testing.T) {
	chosen(t, httppipe.Alone+7, func(t *testing.T, origin *pipetest.Origin, client *pipetest.Client, conn *pipetest.Conn, prepare func(*http.Request) *http.Request) {
		client.Get("/a")
		client.Do(prepare(client.NewRequest("GET", "/x", nil)))
		client.Do(prepare(client.NewRequest("POST", "/x", nil)))
		conn.WantRequests("GET /a", "GET /x")
	})
}

// A hook that panics does so on its caller's goroutine, and leaves nothing behind
// that others would wait for.
func TestClassifyPanics(t *testing.T) {
	inWorld(t, &pipetest.Server{}, func(w *world) {
		require.PanicsWithValue(w.t, "who am I?", func() { w.get(context.Background(), "/panic") })
		w.getAll("others", 10, time.Minute)
	}, oneConn(), func(tr *httppipe.Transport) {
		tr.Classify = func(req *http.Request) httppipe.Pipelining {
			if req.URL.Path == "/panic" {
				panic("who am I?")
			}
			return httppipe.ByMethod
		}
	})
}

// HTTP/2 has no pipeline to be kept out of: all requests meet on one connection.
func TestChoiceHasNoMeaningInHTTP2(t *testing.T) {
	for _, choice := range []httppipe.Pipelining{httppipe.Pipeline, httppipe.Never, httppipe.Alone} {
		synctest.Test(t, func(t *testing.T) {
			network := memnet.New()
			ln, err := network.Listen("origin.test:80")
			require.NoError(t, err)
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			var inFlight, most atomic.Int64
			server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				most.Store(max(most.Load(), inFlight.Add(1)))
				time.Sleep(time.Second)
				inFlight.Add(-1)
				io.Copy(w, r.Body)
			})}
			go server.Serve(ln)
			tr := &httppipe.Transport{DialContext: network.DialContext, Protocols: protocols}
			post := func() {
				ctx := httppipe.WithPipelining(context.Background(), choice)
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://origin.test/", strings.NewReader("x"))
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "x" || resp.ProtoMajor != 2 {
					t.Errorf("%s: %q, %v", resp.Proto, got, err)
				}
			}
			post()
			var group sync.WaitGroup
			for range 5 {
				group.Go(post)
			}
			group.Wait()
			require.Equal(t, 1, network.Dials())
			require.EqualValues(t, 5, most.Load())
			tr.CloseIdleConnections()
			server.Close()
		})
	}
}

func TestPipeliningString(t *testing.T) {
	for choice, want := range map[httppipe.Pipelining]string{
		httppipe.ByMethod: "ByMethod",
		httppipe.Pipeline: "Pipeline",
		httppipe.Never:    "Never",
		httppipe.Alone:    "Alone",
		200:               "Pipelining(200)",
	} {
		require.Equal(t, want, fmt.Sprint(choice))
	}
}
