package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

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

// An upload that is canceled halfway ends the connection, but not before those in
// front of it have their answers: one of them is being read.
func TestCanceledUploadLeavesThoseBeforeItAlone(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		why := errors.New("the caller's reason")
		a, b := r.get("/a"), r.get("/b")
		put := r.put("/put", "x", bodyThatBlocks)
		behind := r.get("/behind")
		r.origin.WantRequests("GET /a", "GET /b", "PUT /put")
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg")
		a.wantHead(200)
		put.cancel(why)
		<-put.done
		require.ErrorIs(t, put.err, why)
		require.True(t, behind.wantFailure(ErrRetired).Unsent)
		r.origin.Send("un!" + answerWith("B"))
		a.wantContent("begun!")
		b.wantContent("B")
		r.wantEnded()
	})
}

// bodyThatBlocks replaces content by a body whose Read waits for its Close.
func bodyThatBlocks(j *job) {
	j.body = &testBody{}
	j.Content, j.Body = nil, j.body
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
		begin := time.Now()
		a.cancel(nil)
		<-a.done
		r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", maxDrop+100<<10))
		b.wantFailure(ErrRetired)
		require.Zero(t, time.Since(begin))
		r.wantEnded()
	})
}

// Answers that nobody wants are passed over by whoever comes next.
func TestAbandonedAnswersAreDroppedByWhoComesNext(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		b.cancel(nil)
		<-b.done
		require.True(t, r.Usable())
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		require.True(t, r.Usable())
		c := r.get("/c")
		r.origin.WantRequests("GET /c")
		r.origin.Send(answerWith("B") + answerWith("C"))
		c.wantContent("C")
	})
}

// If nobody comes, the connection does not wait for ever.
func TestConnectionWithOnlyAbandonedAnswersEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		b.cancel(nil)
		<-b.done
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		time.Sleep(dropWait)
		r.wantEnded()
	})
}
