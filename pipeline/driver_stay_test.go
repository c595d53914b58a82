package pipeline

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

func repeat(r Repeat) func(*job) { return func(j *job) { j.Repeat = r } }

// behindUnread is a rig in a bubble: nobody reads the content of a, of so many octets,
// of which three have come. Behind it are a call that may be sent again at any time,
// one that may not, and one more that may.
func behindUnread(t *testing.T, m *Memory, size int, r Repeat) (rg *rig, a, safe, bound, last *job) {
	rg = newRigWith(t, &Options{Memory: m})
	a, safe = rg.get("/a"), rg.get("/safe")
	bound, last = rg.put("/bound", "x", repeat(r)), rg.get("/last")
	rg.origin.WantRequests("GET /a", "GET /safe", "PUT /bound", "GET /last")
	rg.origin.Send(fmt.Sprintf(lengthHead, size))
	a.wantHead(200)
	rg.origin.Send(string(pipetest.Content("/a", size)))
	return rg, a, safe, bound, last
}

// A call that may not be sent again used to fail when content before it was not read
// for 50 ms.
func TestCallsThatStayAreAnsweredBehindUnreadContent(t *testing.T) {
	for _, again := range []Repeat{RepeatAfter, RepeatNever} {
		for _, size := range []int{100_000, 5 << 20} {
			t.Run(fmt.Sprint(again, size), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					m := new(Memory)
					r, a, safe, bound, last := behindUnread(t, m, size, again)
					r.origin.Send(answerWith("safe") + answerWith("bound") + answerWith("last"))
					for _, other := range []*job{safe, last} {
						require.EqualValues(t, 1, other.wantStalled().Answered)
					}
					bound.wantContent("bound")
					require.False(t, r.Usable())
					require.GreaterOrEqual(t, m.Held(), int64(size))
					a.wantContent(string(pipetest.Content("/a", size)))
					r.wantEnded()
					require.Zero(t, a.Call.body.mem)
					require.Empty(t, a.Call.body.rest)
				})
			})
		}
	}
}

// wantStalled wants the call to have failed because of content before it.
func (j *job) wantStalled() *CallError {
	j.r.t.Helper()
	<-j.done
	var failed *CallError
	require.ErrorAs(j.r.t, j.err, &failed)
	require.ErrorIs(j.r.t, failed, ErrStalled)
	return failed
}

// What is read of content that is moved into several pieces of memory is right at any
// time, and memory that was read is given back.
func TestContentInSeveralPiecesIsReadWhileItIsMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size, step = 600_000, 10_000
		m := &Memory{Limit: 4 * maxInMemory}
		r := newRigWith(t, &Options{Memory: m})
		a := r.get("/a")
		bound := r.put("/bound", "x", repeat(RepeatNever))
		r.origin.Send(fmt.Sprintf(lengthHead, size))
		a.wantHead(200)
		content := string(pipetest.Content("/a", size))
		r.origin.Send(content[:100_000])
		time.Sleep(stallWait)
		synctest.Wait()
		require.Len(t, a.Call.body.rest, 1)
		r.origin.Send(content[100_000:] + answerWith("bound"))
		for at := 0; at < size; at += step {
			got := make([]byte, step)
			_, err := io.ReadFull(a, got)
			require.NoError(t, err)
			require.True(t, content[at:at+step] == string(got), "octets from %d on", at)
			time.Sleep(stayTick / 10)
		}
		bound.wantContent("bound")
		a.wantContent("")
		require.LessOrEqual(t, m.Held(), m.Limit)
	})
}

// Where there is not enough memory, those who stay wait as long as the content gets
// on, and not for ever.
func TestCallsThatStayWaitForMemory(t *testing.T) {
	const size, step = 400_000, 20_000
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprint(reads), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				begin := time.Now()
				r, a, safe, bound, last := behindUnread(t, &Memory{Limit: maxInMemory}, size, RepeatNever)
				r.origin.Send(answerWith("safe") + answerWith("bound"))
				for _, other := range []*job{safe, last} {
					other.wantStalled()
					require.Equal(t, stallWait, time.Since(begin), "they can go elsewhere")
				}
				if !reads {
					bound.wantFailure(ErrStalled)
					require.InDelta(t, stayWait, time.Since(begin), float64(2*stayTick))
					a.wantContent(string(pipetest.Content("/a", size)))
					r.wantEnded()
					return
				}
				for n := 0; n+step+maxInMemory < size; n += step {
					time.Sleep(stayWait - 3*stayTick)
					bound.wantPending()
					_, err := a.Read(make([]byte, step))
					require.NoError(t, err)
				}
				a.Close()
				bound.wantContent("bound")
			})
		})
	}
}

// Content for which there was no memory is moved when there is some.
func TestMemoryIsTriedAgainForCallsThatStay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &Memory{Limit: 4 * maxInMemory}
		m.counted.Add(m.Limit) // others have it
		r, a, _, bound, _ := behindUnread(t, m, 200_000, RepeatAfter)
		r.origin.Send(answerWith("safe") + answerWith("bound"))
		time.Sleep(time.Second)
		bound.wantPending()
		m.counted.Add(-m.Limit)
		time.Sleep(2 * stayTick)
		bound.wantContent("bound")
		a.wantContent(string(pipetest.Content("/a", 200_000)))
	})
}

// Content that is closed when it lies in several pieces gives them all back.
func TestClosedContentGivesAllPiecesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, _, bound, _ := behindUnread(t, new(Memory), 300_000, RepeatAfter)
		r.origin.Send(answerWith("safe") + answerWith("bound"))
		bound.wantContent("bound")
		require.NotEmpty(t, a.Call.body.rest)
		require.NoError(t, a.Close())
		synctest.Wait() // for who moves it
		require.Zero(t, a.Call.body.mem)
		require.Empty(t, a.Call.body.rest)
	})
}

// A call that may never be sent again used to fail when a large answer before it was
// given up.
func TestLargeAbandonedAnswersAreDroppedForThoseThatAreSentOnce(t *testing.T) {
	const size = 10 * maxDrop
	for _, begun := range []bool{true, false} {
		for _, again := range []Repeat{RepeatAfter, RepeatNever} {
			t.Run(fmt.Sprint(begun, again), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t)
					a, bound := r.get("/a"), r.put("/bound", "x", repeat(again))
					conn := r.origin.Conn(0)
					conn.WantRequests("GET /a", "PUT /bound")
					head := fmt.Sprintf(lengthHead, size)
					if begun {
						r.origin.Send(head)
						a.wantHead(200)
						require.NoError(t, a.Close())
						head = ""
					} else {
						a.cancel(nil)
						<-a.done
					}
					time.Sleep(stayWait / 2)
					conn.Send(head + strings.Repeat("x", size) + answerWith("bound"))
					if again == RepeatNever {
						bound.wantContent("bound")
						r.wantUsable()
					} else {
						bound.wantFailure(ErrRetired)
					}
				})
			})
		}
	}
}

// An answer that never ends is given up in the end, whoever is behind it.
func TestEndlessAbandonedAnswerIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, bound := r.get("/a"), r.put("/bound", "x", repeat(RepeatNever))
		r.origin.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		a.wantHead(200)
		require.NoError(t, a.Close())
		begin := time.Now()
		for bound.isPending() && time.Since(begin) < time.Hour {
			r.origin.Send("1\r\nx\r\n")
			time.Sleep(time.Second)
			synctest.Wait()
		}
		bound.wantFailure(ErrRetired)
		require.InDelta(t, stayWait, time.Since(begin), float64(2*time.Second))
	})
}

// Requests that are on their way reach the origin though content before them is not
// read until then; what comes behind them is not sent.
func TestCallsThatStayAreSentInFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		upload := strings.Repeat("u", 1<<20)
		r.origin.Conn(0).PauseReading()
		a := r.get("/a")
		bound := r.put("/bound", upload, repeat(RepeatNever))
		late := r.put("/late", "x", repeat(RepeatNever))
		r.origin.Send(fmt.Sprintf(lengthHead, 100_000))
		a.wantHead(200)
		require.True(t, late.wantFailure(ErrStalled).Unsent)
		r.origin.Conn(0).ResumeReading()
		r.origin.WantRequests("GET /a", "PUT /bound")
		r.origin.Conn(0).WantBody(upload)
		r.origin.Send(strings.Repeat("x", 100_000) + answerWith("bound"))
		bound.wantContent("bound")
		require.NoError(t, a.Close())
	})
}

// A body that yields more after its call was sent elsewhere used to end the connection, and
// with it a call that stays: as if nothing of it had been sent, although it was about to be.
func TestCallsThatStayAreSentThoughAnUploadBehindThemEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, pipetest.Net(memnet.Buffer(4<<10)))
		r.origin.Conn(0).PauseReading()
		a := r.get("/" + strings.Repeat("a", 8<<10))
		synctest.Wait() // it is being written
		bound := r.put("/bound", "x", repeat(RepeatNever))
		body, content := io.Pipe()
		late := r.put("/late", "", chunkedBody, withBody(body))
		synctest.Wait()
		r.origin.Send(fmt.Sprintf(lengthHead, 100_000))
		a.wantHead(200)
		late.wantFailure(ErrStalled)
		content.Close()
		bound.wantPending()
		r.origin.Conn(0).ResumeReading()
		require.Equal(t, "/bound", r.origin.Requests()[1].Target)
		r.origin.Send(strings.Repeat("x", 100_000) + answerWith("bound"))
		bound.wantContent("bound")
		require.NoError(t, a.Close())
	})
}

// A request that stays, and cannot be sent in full, is not waited for in vain.
func TestCallsThatStayFailWithTheWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, pipetest.Net(memnet.Buffer(4<<10)))
		client := r.nc.(*memnet.Conn)
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Conn(0).PauseReading()
		bound := r.put("/"+strings.Repeat("b", 200<<10), "x", repeat(RepeatNever))
		synctest.Wait()
		late := r.get("/late")
		r.origin.Send(fmt.Sprintf(lengthHead, 4))
		a.wantHead(200)
		require.True(t, late.wantFailure(ErrStalled).Unsent)
		client.FailWrite(client.Stats().OctetsWritten+10, syscall.EPIPE)
		r.origin.Conn(0).ResumeReading()
		r.origin.Send("abcd")
		begin := time.Now()
		require.False(t, bound.wantFailure(syscall.EPIPE).Unsent)
		require.LessOrEqual(t, time.Since(begin), lastWait)
		a.wantContent("abcd")
	})
}

// When the end of the connection meets who stays, it is told of it.
func TestCallsThatStayFailWithTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, _, bound, _ := behindUnread(t, new(Memory), 200_000, RepeatAfter)
		time.Sleep(time.Second)
		bound.wantPending()
		r.origin.Conn(0).CloseWrite()
		failed := bound.wantFailure(ErrConnectionClosed)
		require.False(t, failed.Unsent)
		a.wantContent(string(pipetest.Content("/a", 200_000)))
		r.wantEnded()
	})
}
