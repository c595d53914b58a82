package pipeline

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/wire"
)

func TestDriverDeliversInOrder(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		head := r.job("HEAD", "/h")
		require.NoError(t, head.submit())
		c, d := r.get("/c"), r.get("/d")
		r.origin.WantRequests("GET /a", "GET /b", "HEAD /h", "GET /c", "GET /d")
		r.origin.Send(answerWith("A") + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\nT: x\r\n\r\n")
		a.wantContent("A")
		b.wantContent("B")
		require.Equal(t, "x", b.Trailer().Get("T"))
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		head.wantContent("")
		c.wantContent("")
		r.origin.Send(answerWith("D"))
		d.wantContent("D")
		r.wantUsable()
	})
}

// Each octet of the responses arrives by itself.
func TestDriverEverySplit(t *testing.T) {
	const responses = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"
	pipetest.EverySplit(responses, func(reads []string) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
			r.origin.WantRequests("GET /a", "GET /b", "GET /c")
			for _, octets := range reads {
				r.origin.Send(octets)
				synctest.Wait()
			}
			a.wantContent("ab")
			b.wantContent("cd")
			c.wantContent("")
		})
	})
}

// Those who were woken one by one would send their next requests in as many writes.
func TestCallersAreWokenWhenAllThatArrivedIsHandedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var settled []bool
		note := r.hooks.Left
		calls := []*job{r.job("GET", "/a"), r.job("GET", "/b"), r.job("GET", "/c")}
		r.hooks.Left = func(call *Call) {
			settled = append(settled, calls[1].Settled())
			note(call)
		}
		for _, j := range calls {
			require.NoError(t, j.submit())
			synctest.Wait() // /a's caller reads
		}
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.origin.Send(answerWith("A") + answerWith("B") + answerWith("C"))
		for i, j := range calls {
			j.wantContent(string(rune('A' + i)))
		}
		require.Equal(t, []bool{false, false, false}, settled)
	})
}

// A bodyThatWaits is closed when a job is done.
type bodyThatWaits struct {
	*testBody
	until *job
}

func (b bodyThatWaits) Close() error {
	<-b.until.done
	return b.testBody.Close()
}

// Whoever has its answer does not wait for the bodies of others to be closed, when the
// octets after that answer end the connection: one may wait for it.
func TestAnsweredCallIsToldBeforeBodiesAreClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		synctest.Wait() // a's caller reads
		b := r.get("/b")
		c := r.put("/c", "", chunkedBody, withBody(nil), func(j *job) { j.Body = bodyThatWaits{j.body, b} })
		r.origin.WantRequests("GET /a", "GET /b", "PUT /c")
		synctest.Wait()
		r.origin.Send(answerWith("A") + answerWith("B") + "nonsense\r\n\r\n")
		a.wantContent("A")
		b.wantContent("B")
		<-c.done
		require.Error(t, c.err)
	})
}

// Who hands over a write is told how long it let others run before. Now and then the
// runtime lets nobody run.
func TestYieldedIsHowLongOthersRan(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that Gosched runs all others
	r := newRig(t, pipetest.TCP())
	a, b := r.get("/a"), r.get("/b")
	r.origin.WantRequests("GET /a", "GET /b")
	require.Zero(t, a.Yielded, "nobody was to be expected")
	r.eventually(func() bool {
		c := r.job("GET", "/c")
		ran := make(chan time.Duration, 1)
		go func() {
			began := time.Now()
			for time.Since(began) < 2*time.Millisecond {
			}
			ran <- time.Since(began)
		}()
		require.NoError(t, r.Submit(&c.Call))
		go c.await()
		return c.Yielded >= <-ran
	}, "a request has yielded for as long as others ran")
	r.Close()
	a.wantFailure(net.ErrClosed)
	b.wantFailure(net.ErrClosed)
}

// countWrites counts the lines that Options.Trace is told about octets sent.
type countWrites struct {
	mu sync.Mutex
	n  int
}

func (w *countWrites) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p[0] == '>' {
		w.n++
	}
	return len(p), nil
}

func (w *countWrites) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func TestCallersThatArriveTogetherLeaveInOneWrite(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that Gosched runs all others
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		var writes countWrites
		r := newRigWith(t, &Options{Trace: &writes}, opts...)
		const callers = 16
		for round := range 3 {
			before := writes.count()
			var group sync.WaitGroup
			start := make(chan struct{})
			for range callers {
				group.Go(func() {
					j := r.job("GET", "/")
					<-start
					if err := r.Submit(&j.Call); err != nil {
						t.Error(err)
						return
					}
					if _, err := r.Await(j.ctx, &j.Call); err != nil {
						t.Error(err)
					}
				})
			}
			close(start)
			want := strings.Split(strings.TrimSuffix(strings.Repeat("GET /,", callers), ","), ",")
			r.origin.WantRequests(want...)
			sent := writes.count() - before
			r.origin.Send(strings.Repeat(answerWith("x"), callers))
			group.Wait()
			if round > 0 {
				// Now and then the scheduler resumes a goroutine before the others.
				require.LessOrEqual(t, sent, 2, "writes for %d callers who came together", callers)
			}
		}
	})
}

// Over a socket, a lone caller writes and reads by itself, also after others have
// been there.
func TestLoneCallerNeedsNoGoroutine(t *testing.T) {
	for _, opts := range [][]pipetest.Option{{pipetest.TCP()}, {pipetest.TCP(), pipetest.TLS()}} {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		r.origin.Send(answerWith("A") + answerWith("B"))
		a.wantContent("A")
		b.wantContent("B")
		for range 3 {
			j := r.get("/lone")
			r.origin.WantRequests("GET /lone")
			buf := make([]byte, 1<<20)
			stacks := string(buf[:runtime.Stack(buf, true)])
			require.NotContains(t, stacks, "created by github.com/httppipe/httppipe/pipeline.(*Driver)")
			require.NotContains(t, stacks, "created by github.com/httppipe/httppipe/pipeline.(*rawLink)")
			r.origin.Send(answerWith("L"))
			j.wantContent("L")
		}
		require.False(t, r.overlap, "alone again, but its requests wait for others")
	}
}

func TestWhoeverWaitsReadsForAllBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		// The callers of a and b have not come to wait, and may never.
		a, b := r.job("GET", "/a"), r.job("GET", "/b")
		require.NoError(t, r.Submit(&a.Call))
		require.NoError(t, r.Submit(&b.Call))
		c := r.get("/c")
		r.origin.Send(answerWith("A") + answerWith("B") + answerWith("C"))
		c.wantContent("C")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.wantUsable()
		require.True(t, a.settled.Load() && b.settled.Load())
	})
}

// A leader in Submit hands over requests of others. When its own is answered by
// then, somebody else has to be woken to read.
func TestFollowersAreNotForgottenByASettledLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var hook hookedWrites
		r := newRigWith(t, &Options{Trace: &hook}, pipetest.Net())
		var b *job
		hook.once = func() { // still in Submit, after the request was handed over
			b = r.get("/b", late) // joins the leader, and reads
			r.origin.Send(answerWith("A"))
			synctest.Wait()
		}
		a := r.job("GET", "/a")
		require.NoError(t, r.Submit(&a.Call))
		require.True(t, a.settled.Load())
		r.origin.Send(answerWith("B"))
		b.wantContent("B")
	})
}

// As before, with a follower who may be woken since it was submitted, and so does not look.
func TestPromptFollowersAreNotForgottenByASettledLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var hook hookedWrites
		r := newRigWith(t, &Options{Trace: &hook}, pipetest.Net())
		z := r.get("/z")
		r.origin.WantRequests("GET /z")
		a := r.job("GET", "/a")
		var b *job
		hook.once = func() {
			b = r.get("/b")
			r.origin.Send(answerWith("Z") + answerWith("A"))
			z.wantContent("Z")
			require.True(t, a.settled.Load())
		}
		require.NoError(t, r.Submit(&a.Call))
		r.origin.Send(answerWith("B"))
		b.wantContent("B")
	})
}

// A leader reads when it has sent everything: but others may have something to send for ever.
func TestLeaderWhoGoesOnSendingHasAnotherRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var hook hookedWrites
		r := newRigWith(t, &Options{Trace: &hook}, pipetest.Net())
		a := r.job("GET", "/a")
		writes := 0
		var more func()
		more = func() {
			if writes++; writes == 1 {
				r.origin.Send(answerWith("A"))
			}
			r.get("/b")
			synctest.Wait()
			if writes < leadTurns && !a.settled.Load() {
				hook.once = more
			}
		}
		hook.once = more
		require.NoError(t, r.Submit(&a.Call))
		synctest.Wait()
		require.True(t, a.settled.Load())
	})
}

// The same while it sends another's content.
func TestLeaderWhoSendsContentHasAnotherRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var hook hookedWrites
		r := newRigWith(t, &Options{Trace: &hook}, pipetest.Net())
		a := r.job("GET", "/a")
		hook.once = func() { r.put("/b", strings.Repeat("b", 1<<20)) }
		require.NoError(t, r.Submit(&a.Call))
		r.origin.Send(answerWith("A"))
		synctest.Wait()
		require.True(t, a.settled.Load())
	})
}

// hookedWrites is an Options.Trace that calls once, after the next write.
type hookedWrites struct{ once func() }

func (w *hookedWrites) Write(p []byte) (int, error) {
	if f := w.once; f != nil && p[0] == '>' {
		w.once = nil
		f()
	}
	return len(p), nil
}

func TestInterimResponses(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		wants := func(j *job) { j.Interim = true }
		a, b, c := r.get("/a", wants), r.get("/b"), r.get("/c", wants)
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.origin.Send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
		r.eventually(func() bool { return len(a.statuses()) == 1 }, "the first has come before the final response")
		r.origin.Send("HTTP/1.1 102 Processing\r\n\r\n" + answerWith("A"))
		a.wantContent("A")
		require.Equal(t, []int{103, 102}, a.statuses())
		r.origin.Send("HTTP/1.1 103 Early\r\n\r\n" + answerWith("B") + "HTTP/1.1 199 X\r\n\r\n" + answerWith("C"))
		b.wantContent("B")
		c.wantContent("C")
		require.Empty(t, b.statuses())
		require.Equal(t, []int{199}, c.statuses())
	})
}

// A caller that is told of an interim response may do anything before it waits
// again; meanwhile another reads.
func TestInterimResponseDoesNotKeepOthersWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.job("GET", "/a", func(j *job) { j.Interim = true })
		require.NoError(t, r.Submit(&a.Call))
		b := r.get("/b")
		interim, err := r.Await(t.Context(), &a.Call)
		require.NoError(t, err)
		require.Empty(t, interim)
		require.True(t, a.Sent && !a.Final)
		r.origin.Send("HTTP/1.1 103 Early\r\n\r\n")
		interim, err = r.Await(t.Context(), &a.Call)
		require.NoError(t, err)
		require.Len(t, interim, 1)
		r.origin.Send(answerWith("A") + answerWith("B"))
		b.wantContent("B")
		_, err = r.Await(t.Context(), &a.Call)
		require.NoError(t, err)
		require.True(t, a.Final)
	})
}

func TestInterimFloodIsBounded(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			r := newRigWith(t, &Options{Limits: wire.Limits{Head: 1000}})
			a := r.job("GET", "/a", func(j *job) { j.Interim = wanted })
			require.NoError(t, r.Submit(&a.Call)) // and does not fetch them
			b := r.get("/b")
			r.origin.Send(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100))
			<-b.done
			var limit *wire.LimitError
			require.ErrorAs(t, b.err, &limit)
			r.wantEnded()
		})
	}
}

func TestHeadTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		limited := func(j *job) { j.HeadTimeout = time.Second }
		a, b, c := r.get("/a"), r.get("/b", limited), r.get("/c", limited)
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		time.Sleep(10 * time.Second) // it is not their turn
		b.wantPending()
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		begin := time.Now()
		time.Sleep(900 * time.Millisecond)
		r.origin.Send(answerWith("B"))
		b.wantContent("B")
		failed := c.wantFailure(ErrHeadTimeout)
		require.Equal(t, 1900*time.Millisecond, time.Since(begin))
		require.False(t, failed.Unsent)
		r.wantEnded()
	})
}

func TestRetire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.Retire()
		require.False(t, r.Usable())
		c := r.job("GET", "/c")
		require.ErrorIs(t, c.submit(), ErrRetired)
		r.origin.Send(answerWith("A") + answerWith("B"))
		a.wantContent("A")
		b.wantContent("B")
		r.wantEnded()
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.wantUsable()
		r.Retire()
		r.wantEnded()
	})
}

func TestIdleConnectionKeepsLittleMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var jobs []*job
		for i := range 100 {
			jobs = append(jobs, r.get(fmt.Sprintf("/%d/%s", i, strings.Repeat("x", 1000))))
		}
		r.origin.Send(strings.Repeat(answerWith(strings.Repeat("y", 5000)), 100))
		for _, j := range jobs {
			j.wantContent(strings.Repeat("y", 5000))
		}
		require.True(t, r.Check())
		require.LessOrEqual(t, cap(r.c.rcv.buf)+cap(r.c.out)+cap(r.c.next), 2*keepBuffer+receiveMin)
	})
}

// Once Await has returned, nobody but its caller touches an answered call: under the
// race detector this test sees who does.
func TestAnsweredCallIsItsCallers(t *testing.T) {
	d := newBenchDriver(t)
	callers := make([]benchCaller, 16)
	for i := range callers {
		callers[i] = benchCaller{d: d, wake: make(chan struct{}, 1), call: new(Call)}
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for range 200 {
				if err := callers[i].get(context.Background()); err != nil {
					t.Error(err)
				}
				*callers[i].call = Call{}
			}
		})
	}
	all.Wait()
}
