package httppipe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// After any answer the connection may end: a refusal, an answer without content,
// one to HEAD. All requests get the answers that were meant for them.
func TestInterop04AnyAnswerMayBeTheLast(t *testing.T) {
	lasts := []string{"404", "204", "304", "405", "501", "HEAD"}
	for _, last := range lasts {
		for _, announced := range []bool{true, false} {
			for _, ending := range []pipetest.Ending{pipetest.EndLinger, pipetest.EndClose, pipetest.EndReset} {
				t.Run(fmt.Sprint(last, announced, ending), func(t *testing.T) {
					server := &pipetest.Server{
						Plan: behaving(pipetest.Behaviour{Ending: ending}),
						Handler: func(x *pipetest.Exchange) pipetest.Answer {
							a := pipetest.AnswerContent(x)
							what := strings.Split(x.Request.URL.Path, "/")[1]
							a.Status, _ = strconv.Atoi(what)
							if what == last {
								a.Close, a.Last = announced, !announced
							}
							return a
						},
					}
					// With latency, a reset would destroy the last answer each time.
					inWorldOver(t, server, []memnet.Option{memnet.Latency(0)}, func(w *world) {
						for round := range 3 {
							w.statuses(round, append(lasts, "200", "POST"))
						}
						require.Empty(w.t, server.Repeated("POST"))
					}, maxConns(2))
				})
			}
		}
	}
}

// statuses fetches paths of which the first segment says what is to be answered, or
// how to ask, at the same time and several times each.
func (w *world) statuses(round int, segments []string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errTookTooLong)
	defer cancel()
	var group sync.WaitGroup
	for i := range 5 * len(segments) {
		group.Go(func() {
			segment := segments[i%len(segments)]
			path := fmt.Sprintf("/%s/%d/%d?n=20", segment, round, i)
			method, want := "GET", 200
			if n, err := strconv.Atoi(segment); err == nil {
				want = n
			} else {
				method = segment
			}
			content := string(pipetest.Content(path, 20))
			if want == 204 || want == 304 || method == "HEAD" {
				content = ""
			}
			status, got, err := w.send(ctx, method, path, nil)
			if err != nil && method == "POST" {
				return // its connection has ended: it cannot be known what became of it
			}
			if err != nil || status != want || got != content {
				w.t.Errorf("%s %s: %d %q, %v", method, path, status, got, err)
			}
		})
	}
	group.Wait()
}

// Servers that reset when they close with requests unread destroy answers that are
// on their way: those are had again.
func TestInterop05ResetOnCloseDestroysAnswers(t *testing.T) {
	for _, announce := range []bool{true, false} {
		for _, conns := range []int{1, 4} {
			t.Run(fmt.Sprint(announce, conns), func(t *testing.T) {
				server := &pipetest.Server{
					Plan: behaving(pipetest.Behaviour{CloseAfter: 7, Announce: announce, Ending: pipetest.EndClose}),
					Handler: func(x *pipetest.Exchange) pipetest.Answer {
						a := pipetest.AnswerContent(x)
						a.Delay = 2 * time.Millisecond
						return a
					},
				}
				lossy := []memnet.Option{memnet.Latency(5 * time.Millisecond)}
				inWorldOver(t, server, lossy, func(w *world) {
					for round := range 5 {
						w.getAll(fmt.Sprint("a", round), 40, time.Minute)
						w.fetch(within(w.t, time.Minute), "POST", fmt.Sprint("/post", round), "x")
					}
					require.Positive(w.t, w.tr.Stats().Replays)
					require.Empty(w.t, server.Repeated("POST"))
				}, maxConns(conns))
			})
		}
	}
}

// expecting makes a request expect 100 (Continue).
func expecting(req *http.Request) { req.Header.Set("Expect", "100-continue") }

// Content waits for 100 (Continue). Servers that answer at once, with or without
// closing, get none of it, or all; those that say nothing get it after a while.
func TestInterop09Expect(t *testing.T) {
	const size = 100_000
	for name, test := range map[string]struct {
		answer pipetest.Answer
		status int
		octets int64         // the most content that is received
		after  time.Duration // at least
	}{
		"100":              {pipetest.Answer{}, 200, size, 0},
		"none":             {pipetest.Answer{No100: true}, 200, size, time.Second},
		"final":            {pipetest.Answer{No100: true, Early: true}, 200, size, 0},
		"refusal":          {pipetest.Answer{No100: true, Early: true, Status: 417, Close: true}, 417, 0, 0},
		"refusal, no word": {pipetest.Answer{No100: true, Early: true, Status: 417, Last: true}, 417, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
				if x.Request.Method == "GET" {
					return pipetest.AnswerContent(x)
				}
				return test.answer
			}}
			inWorld(t, server, func(w *world) {
				w.getAll("prove", 20, time.Minute)
				begin := time.Now()
				body := strings.NewReader(string(pipetest.Content("upload", size)))
				status, _, err := w.send(within(w.t, time.Minute), "PUT", "/upload", body, expecting)
				require.NoError(w.t, err)
				require.Equal(w.t, test.status, status)
				require.GreaterOrEqual(w.t, time.Since(begin), test.after)
				w.getAll("after", 20, time.Minute)
				require.Empty(w.t, server.Repeated())
				for _, entry := range server.Record() {
					if entry.Method == "PUT" {
						require.LessOrEqual(w.t, entry.Octets, test.octets)
						requests := server.OnConn(entry.Conn)
						require.True(w.t, entry.Complete || requests[len(requests)-1] == "PUT /upload",
							"something follows half a request: %q", requests)
						require.True(w.t, entry.Complete || test.answer.Early)
					}
				}
			}, maxConns(2), func(tr *httppipe.Transport) { tr.ExpectContinueTimeout = time.Second })
		})
	}
}

// An answer in the middle of an upload is read, if it is not destroyed; a server
// that ignores the rest of the upload, or resets, does not hold it up, nor others.
func TestInterop10EarlyAnswerDuringUpload(t *testing.T) {
	const size = 5_000_000
	for _, ending := range []pipetest.Ending{pipetest.EndLinger, pipetest.EndClose, pipetest.EndReset} {
		for _, streamed := range []bool{true, false} {
			t.Run(fmt.Sprint(ending, streamed), func(t *testing.T) {
				server := &pipetest.Server{
					Plan: behaving(pipetest.Behaviour{Ending: ending}),
					Handler: func(x *pipetest.Exchange) pipetest.Answer {
						if x.Request.Method == "GET" {
							return pipetest.AnswerContent(x)
						}
						return pipetest.Answer{Status: 413, Early: true, Close: true}
					},
				}
				inWorld(t, server, func(w *world) {
					w.getAll("prove", 20, time.Minute)
					for i := range 5 {
						var body io.Reader = strings.NewReader(strings.Repeat("x", size))
						if streamed {
							body = io.MultiReader(body)
						}
						var group sync.WaitGroup
						group.Go(func() {
							status, _, err := w.send(within(w.t, time.Minute), "POST", fmt.Sprint("/post", i), body)
							if err == nil && status != 413 || err != nil && ending == pipetest.EndLinger {
								w.t.Errorf("%d, %v", status, err)
							}
						})
						w.getAll(fmt.Sprint("beside", i), 20, time.Second)
						group.Wait()
					}
					require.Empty(w.t, server.Repeated("POST"))
				}, maxConns(2))
			})
		}
	}
}

// A server that reads no further requests while its answers are not read stops
// nobody for good: whoever sends reads as well.
func TestInterop11BackPressure(t *testing.T) {
	for _, buffer := range []int{512, 4096} {
		narrow := []memnet.Option{memnet.Buffer(buffer)}
		inWorldOver(t, &pipetest.Server{}, narrow, func(w *world) {
			w.getAll("prove", 10, time.Minute)
			long := strings.Repeat("long", 500)
			var group sync.WaitGroup
			for i := range 60 {
				group.Go(func() {
					path := sized(fmt.Sprint(long, i), 50_000+i)
					got, err := w.get(within(w.t, 10*time.Minute), path)
					if err != nil || got != string(pipetest.Content(path, 50_000+i)) {
						w.t.Errorf("%d: %d octets, %v", i, len(got), err)
					}
				})
			}
			group.Wait()
		}, oneConn())
	}
}

// Servers answer one request after the other. Who waits behind a slow one is not
// later than that makes it, and the server is not asked much more often than once.
func TestInterop14SerialServer(t *testing.T) {
	delays := []time.Duration{300 * time.Millisecond, 0, 100 * time.Millisecond, 300 * time.Millisecond, 0}
	for _, conns := range []int{1, 0} {
		server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
			a := pipetest.AnswerContent(x)
			if ms, err := strconv.Atoi(x.Request.URL.Query().Get("slow")); err == nil {
				a.Delay = time.Duration(ms) * time.Millisecond
			}
			return a
		}}
		inWorld(t, server, func(w *world) {
			for range 5 {
				w.getAll("prove", 10, time.Minute)
			}
			before := len(server.Record())
			begin := time.Now()
			var group sync.WaitGroup
			for i, delay := range delays {
				group.Go(func() {
					path := fmt.Sprintf("/slow%d?slow=%d", i, delay.Milliseconds())
					if got, err := w.get(within(w.t, time.Minute), path); err != nil || got != string(pipetest.Content(path, 16)) {
						w.t.Errorf("%s: %q, %v", path, got, err)
					}
				})
			}
			group.Wait()
			require.LessOrEqual(w.t, time.Since(begin), time.Second)
			most := 2 * len(delays)
			if conns == 1 {
				most = len(delays) // there is no elsewhere
			}
			require.LessOrEqual(w.t, len(server.Record())-before, most)
		}, maxConns(conns))
	}
}
