package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
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

func TestCallersThatArriveTogetherLeaveInOneWrite(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that Gosched runs all others
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		var writes countWrites
		r := newRigWith(t, &Options{Trace: &writes}, opts...)
		const callers = 16
		for round := range 3 {
			before := writes.n
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
			sent := writes.n - before
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
			require.False(t, r.overlap && r.burst)
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
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		var group sync.WaitGroup
		for g := range 16 {
			group.Go(func() {
				for i := range 20 {
					j := r.job("GET", fmt.Sprintf("/%d/%d", g, i))
					if err := r.Submit(&j.Call); err != nil {
						t.Error(err)
						return
					}
					if _, err := r.Await(j.ctx, &j.Call); err != nil {
						t.Error(err)
					}
					if got, _ := j.Complete(); string(got) != "x" {
						t.Errorf("got %q", got)
					}
				}
			})
		}
		r.origin.Conn(0)
		done := make(chan struct{})
		go func() { group.Wait(); close(done) }()
		answered := 0
		for {
			select {
			case <-done:
				return
			default:
			}
			if n := len(r.origin.Requests()); n > answered {
				r.origin.Send(strings.Repeat(answerWith("x"), n-answered))
				answered = n
			}
		}
	})
}

func TestAnswerThatSaysCloseIsTheLast(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.origin.Send(answerWith("A") + answerWith("B", "Connection: close") + answerWith("not C"))
		a.wantContent("A")
		b.wantContent("B")
		failed := c.wantFailure(ErrRetired)
		require.False(t, failed.Unsent)
		require.False(t, failed.Head)
		require.EqualValues(t, 2, failed.Answered)
		r.wantEnded()
	})
	bubble(t, func(t *testing.T) {
		// Those behind do not wait for the content.
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab")
		b.wantFailure(ErrRetired)
		require.False(t, r.Usable())
		r.origin.Send("cd" + answerWith("not B"))
		a.wantContent("abcd")
		r.wantEnded()
	})
}

func TestNothingIsSentBehindARequestThatSaysClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a", func(j *job) { j.Request.Close = true })
		b := r.job("GET", "/b")
		var failed *CallError
		require.ErrorAs(t, b.submit(), &failed)
		require.ErrorIs(t, failed, ErrRetired)
		require.True(t, failed.Unsent)
		r.origin.WantRequests("GET /a")
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		r.wantEnded()
	})
}

func TestEndOfConnectionMidPipeline(t *testing.T) {
	for name, end := range map[string]func(*pipetest.Conn){
		"eof":   (*pipetest.Conn).CloseWrite,
		"reset": (*pipetest.Conn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
				r.origin.WantRequests("GET /a", "GET /b", "GET /c")
				r.origin.Send(answerWith("A"))
				a.wantContent("A")
				end(r.origin.Conn(0))
				head, behind := b.wantFailure(ErrConnectionClosed), c.wantFailure(ErrConnectionClosed)
				require.True(t, head.Head)
				require.False(t, behind.Head)
				require.False(t, head.Unsent || behind.Unsent)
				require.EqualValues(t, 1, head.Answered)
				r.wantEnded()
			})
		})
	}
}

func TestOctetsReceivedBeforeAResetAreParsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.nc.(*memnet.Conn).SetMaxRead(10)
		a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.origin.Send(answerWith("A") + answerWith("B"))
		r.origin.Conn(0).Reset()
		a.wantContent("A")
		b.wantContent("B")
		require.True(t, c.wantFailure(ErrConnectionClosed).Head)
	})
}

func TestInvalidResponseEndsTheConnection(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		r.origin.Send(answerWith("A") + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
		a.wantContent("A")
		<-b.done
		var invalid *InvalidResponseError
		require.ErrorAs(t, b.err, &invalid)
		r.wantEnded()
	})
}

func TestFailedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		client := r.nc.(*memnet.Conn)
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		client.FailWrite(client.Stats().OctetsWritten+10, syscall.EPIPE)
		b := r.get("/b") // of which ten octets are sent
		synctest.Wait()
		c := r.job("GET", "/c")
		if err := c.submit(); err == nil {
			require.True(t, c.wantFailure(ErrConnectionClosed).Unsent)
		}
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		require.False(t, b.wantFailure(ErrConnectionClosed).Unsent, "some octets of it were sent")
		r.wantEnded()
	})
}

// While a write is stuck, requests wait behind it. Of those it can be said for
// certain that they were not sent, of the others not.
func TestUnsentIsClaimedOnlyForWhatNobodyHasTaken(t *testing.T) {
	for _, opts := range [][]pipetest.Option{nil, {pipetest.TLS()}} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, append(opts, pipetest.Net(memnet.Buffer(4<<10), memnet.LogWrites()))...)
			r.origin.Conn(0).PauseReading()
			big := strings.Repeat("x", 30<<10)
			var jobs []*job
			for i := range 12 {
				jobs = append(jobs, r.get(fmt.Sprintf("/%d/%s", i, big)))
				synctest.Wait()
			}
			r.nc.(*memnet.Conn).SetBuffer(0)
			r.Close()
			r.origin.Conn(0).ResumeReading()
			synctest.Wait()
			seen := len(r.origin.Requests())
			unsent := 0
			for i, j := range jobs {
				failed := j.wantFailure(ErrConnectionClosed)
				require.False(t, failed.Unsent && i <= seen, "request %d was sent at least in part", i)
				require.False(t, failed.Head)
				if failed.Unsent {
					unsent++
				}
			}
			require.NotZero(t, unsent, "nothing is known to be unsent")
		})
	}
}

func TestSurplus(t *testing.T) {
	t.Run("behind the last answer", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.get("/a")
			r.origin.WantRequests("GET /a")
			r.origin.Send(answerWith("A") + answerWith("injected"))
			a.wantContent("A")
			r.wantEnded()
			require.ErrorIs(t, r.ended[0], ErrSurplus)
		})
	})
	t.Run("while idle", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.get("/a")
			r.origin.WantRequests("GET /a")
			r.origin.Send(answerWith("A"))
			a.wantContent("A")
			r.origin.Send(answerWith("injected"))
			r.settleInput()
			b := r.job("GET", "/b")
			if err := b.submit(); err == nil {
				failed := b.wantFailure(ErrSurplus)
				require.True(t, failed.Unsent)
			}
			r.wantEnded()
			r.origin.WantNoRequest()
		})
	})
	t.Run("check", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			require.True(t, r.Check())
			r.wantUsable()
			require.True(t, r.Check())
			r.origin.Send(answerWith("injected"))
			r.eventually(func() bool { return !r.Check() }, "Check finds the surplus")
			r.wantEnded()
		})
	})
	t.Run("check finds the end", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			require.True(t, r.Check())
			r.origin.Conn(0).CloseWrite()
			r.eventually(func() bool { return !r.Check() }, "Check finds the end")
			r.wantEnded()
		})
	})
}

// settleInput waits until what the origin sent can be read without waiting.
func (r *rig) settleInput() {
	r.t.Helper()
	if r.origin.Network != nil {
		synctest.Wait()
		return
	}
	time.Sleep(20 * time.Millisecond)
}

func TestCanceledCallDisturbsNoNeighbour(t *testing.T) {
	why := errors.New("the caller's reason")
	for _, victim := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(victim), func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				jobs := []*job{r.get("/0"), r.get("/1"), r.get("/2"), r.get("/3")}
				r.origin.WantRequests("GET /0", "GET /1", "GET /2", "GET /3")
				jobs[victim].cancel(why)
				<-jobs[victim].done
				require.ErrorIs(t, jobs[victim].err, why)
				r.origin.Send(answerWith("0") + answerWith("1"))
				r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
				r.origin.Send(strings.Repeat("2", 30000) + answerWith("3"))
				for i, want := range []string{"0", "1", strings.Repeat("2", 30000), "3"} {
					if i != victim {
						jobs[i].wantContent(want)
					}
				}
				r.wantUsable()
			})
		})
	}
}

func TestCancelChannel(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		cancelA, cancelB := make(chan struct{}), make(chan struct{})
		a := r.get("/a", func(j *job) { j.Cancel = cancelA })
		b := r.get("/b", func(j *job) { j.Cancel = cancelB })
		c := r.get("/c")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		close(cancelA)
		<-a.done
		require.ErrorIs(t, a.err, ErrCanceled)
		close(cancelB)
		<-b.done
		require.ErrorIs(t, b.err, ErrCanceled)
		r.origin.Send(answerWith("A") + answerWith("B") + answerWith("C"))
		c.wantContent("C")
		r.wantUsable()
	})
}

func TestLastCallerCanceledEndsTheConnection(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		a.cancel(nil)
		<-a.done
		require.True(t, r.Usable())
		b.cancel(nil)
		<-b.done
		require.ErrorIs(t, b.err, context.Canceled)
		r.wantEnded()
	})
}

func TestAbandon(t *testing.T) {
	why := errors.New("a reason")
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
		synctest.Wait()
		r.Abandon(&b.Call, why)
		r.Abandon(&a.Call, why)
		<-a.done
		<-b.done
		require.ErrorIs(t, a.err, why)
		require.ErrorIs(t, b.err, why)
		r.origin.Send(answerWith("A") + answerWith("B") + answerWith("C"))
		c.wantContent("C")
	})
}

func TestAbandonedAnswerIsWaitedForOnlySoLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		begin := time.Now()
		a.cancel(nil)
		// A head is no end: content that trickles counts as well.
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
		time.Sleep(dropWait / 2)
		r.origin.Send("x")
		b.wantPending()
		failed := b.wantFailure(ErrRetired)
		require.False(t, failed.Head)
		require.Equal(t, dropWait, time.Since(begin))
		r.wantEnded()
	})
}

func TestAbandonedAnswerIsReadOnlySoFar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		a.cancel(nil)
		<-a.done
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", maxDrop+100<<10))
		b.wantFailure(ErrRetired)
		r.wantEnded()
	})
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
		go func() { r.origin.Send("HTTP/1.1 103 Early\r\n\r\n") }()
		interim, err := r.Await(t.Context(), &a.Call)
		require.NoError(t, err)
		require.Len(t, interim, 1)
		r.origin.Send(answerWith("A") + answerWith("B"))
		b.wantContent("B")
		_, err = r.Await(t.Context(), &a.Call)
		require.NoError(t, err)
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

func TestTunnel(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.get("/chat", func(j *job) { j.Request.Extra = map[string][]string{"Upgrade": {"chat"}} })
		r.origin.WantRequests("GET /chat")
		r.origin.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhel")
		a.wantHead(101)
		require.False(t, r.Usable())
		r.origin.Send("lo")
		buf := make([]byte, 5)
		_, err := io.ReadFull(&a.Call, buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf))
		n, err := a.Write([]byte("GET /written HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		require.Equal(t, 34, n)
		r.origin.WantRequests("GET /written")
		r.origin.Conn(0).CloseWrite()
		for range 2 {
			_, err = a.Read(buf)
			require.Equal(t, io.EOF, err)
		}
		_, err = a.Write([]byte("GET /after-eof HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		r.wantEnded()
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, ErrConnectionClosed)
	})
}

func TestCloseEndsATunnelsRead(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a := r.job("CONNECT", "example.com:443")
		require.NoError(t, a.submit())
		r.origin.WantRequests("CONNECT example.com:443")
		r.origin.Send("HTTP/1.1 200 OK\r\n\r\n")
		a.wantHead(200)
		read := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		r.settleInput()
		a.Close()
		require.Equal(t, errBodyClosed, <-read)
		r.wantEnded()
	})
}
