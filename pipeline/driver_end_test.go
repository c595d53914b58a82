package pipeline

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

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

// One write becomes many TLS records. When it failed behind the first of them, these
// used to count as not sent.
func TestRecordsBeforeAFailedOneCountAsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, pipetest.TLS(), pipetest.Net(memnet.Sockets()))
		client := r.nc.(memnet.Socket)
		link := r.c.link.(*tlsLink)
		// A connection begins with records that fit into one packet, of this size.
		before := client.Stats().OctetsWritten
		client.FailWrite(before+1208, syscall.EPIPE)
		link.transfer(nil, make([]byte, 8<<10), false)
		link.transfer(nil, nil, false)
		require.Equal(t, before+1208, client.Stats().OctetsWritten)
		require.Positive(t, link.unsent())
		require.Positive(t, link.delivered())
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
			r.awaitInput()
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

// awaitInput waits until what the origin sent to an idle connection can be read.
func (r *rig) awaitInput() {
	r.t.Helper()
	if r.origin.Network != nil {
		synctest.Wait()
		return
	}
	awaitInput(r.t, r.nc)
}

// When a connection is retired while a write is stuck, the requests that nobody
// has taken are not sent later: they are called unsent, and go elsewhere.
func TestRequestsBehindTheLastAnswerAreNotSentLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, pipetest.Net(memnet.Buffer(4<<10)))
		a := r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Conn(0).PauseReading()
		taken := r.get("/b/" + strings.Repeat("b", 200<<10))
		synctest.Wait()
		waiting := r.get("/c")
		r.origin.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab")
		require.False(t, taken.wantFailure(ErrRetired).Unsent)
		require.True(t, waiting.wantFailure(ErrRetired).Unsent)
		r.origin.Conn(0).ResumeReading()
		synctest.Wait()
		for _, request := range r.origin.Requests() {
			require.NotEqual(t, "/c", request.Target, "it was called unsent")
		}
		r.origin.Send("cd")
		a.wantContent("abcd")
		r.wantEnded()
	})
}
