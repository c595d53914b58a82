package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/wire"
)

func TestUploads(t *testing.T) {
	small, large := string(pipetest.Content("/small", 1000)), string(pipetest.Content("/large", 3<<20))
	for name, test := range map[string]struct {
		content string
		change  []func(*job)
	}{
		"none":             {"", nil},
		"none of a body":   {"", []func(*job){bodyOf("")}},
		"small":            {small, nil},
		"small and a body": {small, []func(*job){func(j *job) { j.body = &testBody{}; j.Body = j.body }}},
		"large":            {large, nil},
		"large and a body": {large, []func(*job){func(j *job) { j.body = &testBody{}; j.Body = j.body }}},
		"small body":       {small, []func(*job){bodyOf(small)}},
		"slow body":        {small, []func(*job){func(j *job) { withBody(iotest.OneByteReader(strings.NewReader(small)))(j) }}},
		"large body":       {large, []func(*job){bodyOf(large)}},
		"small chunked":    {small, []func(*job){chunkedBody}},
		"empty chunked":    {"", []func(*job){chunkedBody}},
		"large chunked":    {large, []func(*job){chunkedBody, bodyOf(large)}},
		"chunked memory":   {large, []func(*job){chunkedBody}},
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				a := r.get("/a")
				b := r.put("/b", test.content, test.change...)
				c := r.get("/c") // it may have to wait for the content
				r.origin.WantRequests("GET /a", "PUT /b", "GET /c")
				r.origin.Send(answerWith("A") + answerWith("B") + answerWith("C"))
				a.wantContent("A")
				b.wantContent("B")
				c.wantContent("C")
				require.Equal(t, test.content, string(r.origin.Requests()[1].Body))
				r.wantUsable()
			})
		})
	}
}

func TestRequestTrailer(t *testing.T) {
	for _, body := range []io.Reader{nil, strings.NewReader("abc")} {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			a := r.put("/a", "abc", chunkedBody, func(j *job) {
				j.Request.Trailer = http.Header{"T": {"x"}}
				if body != nil {
					withBody(body)(j)
				}
			})
			r.origin.WantRequests("PUT /a")
			r.origin.Send(answerWith("A"))
			a.wantContent("A")
			require.Equal(t, "x", r.origin.Requests()[0].Trailer.Get("T"))
		})
	}
}

func TestSmallContentLeavesWithItsHead(t *testing.T) {
	for _, change := range []func(*job){func(*job) {}, chunkedBody} {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.put("/a", "content", change)
			r.origin.WantRequests("PUT /a")
			require.Len(t, r.nc.(*memnet.Conn).WriteLog(), 1)
		})
	}
}

func TestLargeContentBeginsInTheWriteOfItsHead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.put("/a", string(pipetest.Content("/a", coalesce+1)))
		r.origin.WantRequests("PUT /a")
		first := r.nc.(*memnet.Conn).WriteLog()[0]
		require.True(t, strings.HasPrefix(string(first), "PUT /a "))
		require.Greater(t, len(first), lead)
	})
}

func TestContentOfTheWrongLengthIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		j := r.job("PUT", "/a")
		j.Request.Framing = wire.Framing{Kind: wire.Length, Length: 5}
		j.Content = []byte("abc")
		var state *StateError
		require.ErrorAs(t, j.submit(), &state)
		r.wantUsable()
	})
}

// A body that is given up while it blocks is closed, which ends the goroutine.
func TestEndOfConnectionClosesABlockedBody(t *testing.T) {
	for name, end := range map[string]func(*rig, *job){
		"close":  func(r *rig, _ *job) { r.Close() },
		"cancel": func(_ *rig, j *job) { j.cancel(nil) },
		"reset":  func(r *rig, _ *job) { r.origin.Conn(0).Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
				r := newRig(t, opts...)
				a := r.put("/a", "", chunkedBody, withBody(nil))
				b := r.get("/b")
				r.origin.WantRequests("PUT /a")
				end(r, a)
				<-a.done
				require.Error(t, a.err)
				require.True(t, b.wantFailure(ErrConnectionClosed).Unsent)
				r.wantEnded()
				r.eventually(func() bool { return a.body.timesClosed() == 1 }, "the body is closed")
			})
		})
	}
}

// Content that cannot be produced is nobody's fault but its own: those before it
// are answered, and those behind it were not sent.
func TestFailingBody(t *testing.T) {
	why := errors.New("disk on fire")
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		body := io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(why))
		b := r.put("/b", "", chunkedBody, withBody(body))
		require.False(t, b.wantFailure(why).Unsent)
		require.False(t, r.Usable())
		a.wantPending()
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		r.wantEnded()
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		b := r.put("/b", "", chunkedBody, withBody(iotest.ErrReader(why)))
		b.wantFailure(why)
		r.wantEnded()
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get("/a")
		b := r.put("/b", "", chunkedBody, withBody(iotest.ErrReader(why)))
		b.wantFailure(why)
		r.origin.Conn(0).CloseWrite()
		require.NotErrorIs(t, a.wantFailure(ErrConnectionClosed), why)
	})
}

// A body that is the content of another response, whose connection was lost, was taken for
// a failed write: its caller was told a second later.
func TestBodyThatFailsAsAConnectionDoes(t *testing.T) {
	why := &ConnectionError{io.ErrUnexpectedEOF}
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		began := time.Now()
		a := r.get("/a")
		body := io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(why))
		b := r.put("/b", "", chunkedBody, withBody(body))
		require.False(t, b.wantFailure(why).Unsent)
		require.Zero(t, time.Since(began))
		a.wantPending()
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		r.wantEnded()
	})
}

func TestEarlyFinalResponse(t *testing.T) {
	const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
	t.Run("then the content is sent", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			body, content := io.Pipe()
			a := r.put("/a", "", chunkedBody, withBody(body))
			b := r.get("/b")
			r.origin.WantRequests("PUT /a")
			r.origin.Send(tooLarge)
			a.wantContent("no")
			require.Zero(t, r.timesLeft(a), "its content is still being sent")
			require.False(t, a.Gone(), "its memory must not serve another call")
			content.Close()
			synctest.Wait()
			require.Equal(t, 1, r.timesLeft(a))
			r.origin.WantRequests("GET /b")
			r.origin.Send(answerWith("B"))
			b.wantContent("B")
			require.True(t, b.Gone())
			r.wantUsable()
		})
	})
	t.Run("and the content never ends", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			a := r.put("/a", "", chunkedBody, withBody(nil))
			b := r.get("/b")
			begin := time.Now()
			r.origin.Send(tooLarge)
			a.wantContent("no")
			require.True(t, b.wantFailure(ErrRetired).Unsent)
			require.Equal(t, uploadGrace, time.Since(begin))
			r.wantEnded()
		})
	})
	t.Run("with close", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.put("/a", "", chunkedBody, withBody(nil))
			b := r.get("/b")
			r.origin.WantRequests("PUT /a")
			r.origin.Send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
			require.True(t, b.wantFailure(ErrRetired).Unsent)
			r.origin.Send("no")
			a.wantContent("no")
			r.wantEnded()
		})
	})
	t.Run("while the origin reads nothing", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			r.wantUsable()
			r.origin.Conn(0).PauseReading()
			a := r.put("/a", strings.Repeat("x", 16<<20))
			r.origin.Send(tooLarge)
			a.wantContent("no")
			time.Sleep(2 * uploadGrace)
			r.wantEnded()
		})
	})
}

func TestHoldContinue(t *testing.T) {
	hold := func(j *job) { j.ContinueTimeout = time.Minute }
	t.Run("100", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			for _, body := range []func(*job){func(*job) {}, bodyOf("content")} {
				r := newRig(t, opts...)
				a := r.put("/a", "content", hold, body)
				r.origin.WantRequests("PUT /a")
				require.Empty(t, r.origin.Requests()[0].Body)
				r.origin.Send("HTTP/1.1 100 Continue\r\n\r\n")
				r.eventually(func() bool { return string(r.origin.Requests()[0].Body) == "content" }, "the content has come")
				r.origin.Send(answerWith("A"))
				a.wantContent("A")
				r.wantUsable()
			}
		})
	})
	t.Run("final response instead", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.put("/a", "content", hold)
			b := r.get("/b")
			r.origin.WantRequests("PUT /a")
			r.origin.Send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
			a.wantContent("no")
			r.origin.WantRequests("GET /b")
			require.Equal(t, "content", string(r.origin.Requests()[0].Body), "it was announced")
			r.origin.Send(answerWith("B"))
			b.wantContent("B")
			r.wantUsable()
		})
	})
	t.Run("final response instead, and close", func(t *testing.T) {
		eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
			r := newRig(t, opts...)
			a := r.put("/a", "content", hold)
			b := r.get("/b")
			r.origin.WantRequests("PUT /a")
			r.origin.Send("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
			require.True(t, b.wantFailure(ErrRetired).Unsent, "it does not wait for the content")
			r.origin.Send("no")
			a.wantContent("no")
			r.wantEnded()
			require.Empty(t, r.origin.Requests()[0].Body)
		})
	})
	t.Run("timeout", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			a := r.put("/a", "content", hold)
			time.Sleep(59 * time.Second)
			synctest.Wait()
			require.Empty(t, r.origin.Requests()[0].Body)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Equal(t, "content", string(r.origin.Requests()[0].Body))
			r.origin.Send(answerWith("A"))
			a.wantContent("A")
			require.True(t, r.Usable())
		})
	})
}

func TestBacklogBehindAnUpload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		body, content := io.Pipe()
		a := r.put("/a", "", chunkedBody, withBody(body))
		b, c := r.get("/b"), r.put("/c", "small")
		d := r.get("/d", func(j *job) { j.Request.Close = true })
		e := r.get("/e")
		c.Content[0] = 'X' // it was copied
		b.cancel(nil)
		synctest.Wait()
		require.Equal(t, 1, r.timesLeft(b), "it has left at once")
		r.origin.WantRequests("PUT /a")
		content.Close()
		require.True(t, e.wantFailure(ErrRetired).Unsent, "nothing is sent behind close")
		r.origin.WantRequests("PUT /c", "GET /d")
		require.Equal(t, "small", string(r.origin.Requests()[1].Body))
		r.origin.Send(answerWith("A") + answerWith("C") + answerWith("D"))
		a.wantContent("A")
		c.wantContent("C")
		d.wantContent("D")
		r.wantEnded()
	})
}

func TestRetireRefusesTheBacklog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		body, content := io.Pipe()
		a := r.put("/a", "", chunkedBody, withBody(body))
		b := r.get("/b")
		r.Retire()
		require.True(t, b.wantFailure(ErrRetired).Unsent)
		content.Close()
		r.origin.Send(answerWith("A"))
		a.wantContent("A")
		r.wantEnded()
	})
}

// A bodyThenAnswer does something when it is closed.
type bodyThenAnswer struct {
	*testBody
	answer func()
}

func (b bodyThenAnswer) Close() error {
	b.answer()
	return b.testBody.Close()
}

// An answer that came when its request had just failed, because its content could not be
// produced or it was given up, ended the whole program: there was no request that it
// could be meant for, and the connection had not been ended yet.
func TestAnswerToRequestThatHasJustFailed(t *testing.T) {
	why := errors.New("disk on fire")
	for name, end := range map[string]func(*job, chan<- error){
		"body":     func(_ *job, fail chan<- error) { fail <- why },
		"canceled": func(j *job, _ chan<- error) { j.cancel(why) },
		"abandon":  func(j *job, _ chan<- error) { j.r.Abandon(&j.Call, why) },
	} {
		for _, content := range []string{"", "A", strings.Repeat("A", 100_000)} {
			t.Run(fmt.Sprint(name, len(content)), func(t *testing.T) {
				eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
					r := newRig(t, opts...)
					fail := make(chan error, 1)
					j := r.job("PUT", "/a", chunkedBody)
					j.body = &testBody{r: readerFunc(func([]byte) (int, error) { return 0, cmp.Or(<-fail, io.EOF) })}
					j.Body = bodyThenAnswer{j.body, func() {
						r.origin.Send(answerWith(content))
						time.Sleep(10 * time.Millisecond) // for the answer to be read
						close(fail)
					}}
					require.NoError(t, j.submit())
					r.origin.Conn(0)
					end(j, fail)
					<-j.done
					require.ErrorIs(t, j.err, why)
					r.wantEnded()
				})
			})
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Where content cannot be written, the origin may have said before why it takes no more.
func TestAnswerIsReadAfterContentCouldNotBeWritten(t *testing.T) {
	for name, options := range map[string][]memnet.Option{"memory": nil, "socket": {memnet.Sockets()}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, pipetest.Net(options...))
				r.nc.(interface{ FailWrite(int64, error) }).FailWrite(40_000, syscall.EPIPE)
				a := r.put("/a", "", chunkedBody, bodyOf(strings.Repeat("a", 100_000)))
				a.wantPending()
				r.origin.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
				a.wantHead(413)
				r.wantEnded()
			})
		})
	}
}
