package pipeline

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

const lengthHead = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

// twoParts are a content in two parts, with the head of its response before the first
// and the end behind the second.
func twoParts(chunked bool, content string, first int) (head, a, b string) {
	if !chunked {
		return fmt.Sprintf(lengthHead, len(content)), content[:first], content[first:]
	}
	part := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", part(content[:first]), part(content[first:]) + "0\r\n\r\n"
}

// Those behind content that nobody reads are answered, if it is little.
func TestUnreadContentIsMovedForThoseBehind(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		for _, size := range []int{6, 5000, 60_000} {
			t.Run(fmt.Sprint("chunked=", chunked, " size=", size), func(t *testing.T) {
				eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
					m := new(Memory)
					r := newRigWith(t, &Options{Memory: m}, opts...)
					a, b := r.get("/a"), r.get("/b")
					r.origin.WantRequests("GET /a", "GET /b")
					content := string(pipetest.Content("/a", size))
					head, first, second := twoParts(chunked, content, 3)
					r.origin.Send(head + first)
					a.wantHead(200)
					r.origin.Send(second + answerWith("B"))
					b.wantContent("B")
					r.wantUsable()
					a.wantContent(content)
					require.Equal(t, size < minBlock && !chunked, m.Held() == 0)
					require.NoError(t, a.Close())
				})
			})
		}
	}
}

func TestContentIsMovedAfterAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.Send(fmt.Sprintf(lengthHead, 5000) + "abc")
		a.wantHead(200)
		begin := time.Now()
		r.origin.Send(string(make([]byte, 4997)) + answerWith("B"))
		b.wantContent("B")
		require.Equal(t, moveWait, time.Since(begin))
	})
}

// Where there is no memory, or too much content, it stays where it is.
func TestContentThatCannotBeMoved(t *testing.T) {
	for name, test := range map[string]struct {
		limit int64
		size  int
	}{
		"no memory": {1, 5000},
		"too much":  {0, maxInMemory + 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRigWith(t, &Options{Memory: &Memory{Limit: test.limit}})
				a, b := r.get("/a"), r.get("/b")
				content := string(pipetest.Content("/a", test.size))
				r.origin.Send(fmt.Sprintf(lengthHead, test.size) + content[:3])
				a.wantHead(200)
				begin := time.Now()
				r.origin.Send(content[3:] + answerWith("B"))
				b.wantFailure(ErrStalled)
				require.Equal(t, stallWait, time.Since(begin))
				a.wantContent(content)
				r.wantEnded()
			})
		})
	}
}

// Of chunks that do not fit, the caller reads the rest from the connection.
func TestContentThatIsMovedInPart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.get("/a"), r.get("/b")
		r.origin.WantRequests("GET /a", "GET /b")
		content := string(pipetest.Content("/a", 3*maxInMemory))
		head, first, second := twoParts(true, content, 3)
		r.origin.Send(head + first)
		a.wantHead(200)
		r.origin.Send(second + answerWith("B"))
		time.Sleep(2 * moveWait)
		synctest.Wait()
		require.Equal(t, maxInMemory, a.Call.body.mem.Len())
		a.wantContent(content)
		b.wantContent("B")
		r.wantUsable()
	})
}

// moving is a rig in a bubble whose first content is being moved: three octets of
// eight thousand have come.
func moving(t *testing.T) (r *rig, a, b *job) {
	r = newRig(t)
	a, b = r.get("/a"), r.get("/b")
	r.origin.WantRequests("GET /a", "GET /b")
	r.origin.Send(fmt.Sprintf(lengthHead, 8000) + "abc")
	a.wantHead(200)
	time.Sleep(moveWait)
	synctest.Wait()
	require.True(t, a.Call.body.moving)
	return r, a, b
}

// Who reads content that is being moved gets it as it comes.
func TestContentIsReadWhileItIsMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, b := moving(t)
		content := "abc" + string(pipetest.Content("/a", 7997))
		for at, end := 0, 3; at < len(content); at, end = end, min(len(content), end+1000) {
			got := make([]byte, 2000)
			n, err := a.Read(got)
			require.NoError(t, err)
			require.True(t, content[at:end] == string(got[:n]), "octets from %d to %d", at, end)
			next := content[end:min(len(content), end+1000)]
			time.AfterFunc(time.Millisecond, func() { r.origin.Send(next) })
		}
		a.wantContent("")
		r.origin.Send(answerWith("B"))
		b.wantContent("B")
		r.wantUsable()
	})
}

func TestContentIsClosedWhileItIsMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, b := moving(t)
		require.NoError(t, a.Close())
		_, err := a.Read(make([]byte, 1))
		require.Equal(t, errBodyClosed, err)
		r.origin.Send(string(make([]byte, 7997)) + answerWith("B"))
		b.wantContent("B")
		require.False(t, a.Call.body.moving)
		require.Zero(t, a.Call.body.mem)
		r.wantUsable()
	})
}

func TestCloseEndsAReadThatWaitsForMovedContent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, b := moving(t)
		why := errors.New("a reason")
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(&a.Call)
			read <- err
		}()
		synctest.Wait()
		a.CloseWithError(why)
		require.Equal(t, why, <-read)
		r.origin.Send(string(make([]byte, 7997)) + answerWith("B"))
		b.wantContent("B")
		r.wantUsable()
	})
}

func TestConnectionEndsWhileContentIsMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, a, b := moving(t)
		r.origin.Conn(0).CloseWrite()
		<-b.done
		require.Error(t, b.err)
		got, err := io.ReadAll(&a.Call)
		require.Equal(t, "abc", string(got))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		r.wantEnded()
	})
}
