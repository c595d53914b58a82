package pipeline

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/wire"
)

// halfDead is a connection on which all Writes but the first fail, and Reads go on.
type halfDead struct {
	net.Conn
	writes int
}

func (h *halfDead) Write(p []byte) (int, error) {
	if h.writes++; h.writes > 1 {
		return 0, errCable
	}
	return h.Conn.Write(p)
}

var errCable = errors.New("broken cable")

// A failed write of which only the reader of a content was told used to leave the
// request behind it waiting for ever.
func TestFailedWriteDuringContentFailsTheNextCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		d := NewDriver(&halfDead{Conn: ours}, nil, Hooks{})
		defer d.Close()
		calls := make([]*Call, 2)
		for i := range calls {
			calls[i] = &Call{Wake: make(chan struct{}, 1)}
			calls[i].Request = wire.RequestHead{Method: "GET", Target: "/", Host: "origin.test"}
		}
		const length = 100_000
		require.NoError(t, d.Submit(calls[0]))
		_, err := io.ReadFull(theirs, make([]byte, calls[0].end)) // so that it leaves by itself
		require.NoError(t, err)
		go io.Copy(io.Discard, theirs)
		go io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		_, err = d.Await(t.Context(), calls[0])
		require.NoError(t, err)
		read := make(chan error)
		go func() {
			_, err := io.ReadFull(calls[0], make([]byte, length))
			read <- err
		}()
		d.Submit(calls[1]) // an error would tell of it as well
		go theirs.Write(make([]byte, length))
		<-read
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = d.Await(ctx, calls[1])
		require.ErrorIs(t, err, errCable)
	})
}

// A reader may be told of a failed write while the one who handed over the octets still
// owns the sending half, and believes that they have left.
func TestFailedWriteIsHeededByWhoOwnsTheSendingHalf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.get("/a")
		r.origin.WantRequests("GET /a")
		r.origin.Send(answerWith("A"))
		synctest.Wait()
		r.c.mu.Lock()
		r.sendBusy = true
		r.c.mu.Unlock()
		b := r.get("/b") // not sent: somebody else is to do that
		synctest.Wait()
		r.writingFailed(errCable)
		r.sendOn(false, nil)
		require.ErrorIs(t, b.wantFailure(errCable), errCable)
		r.wantEnded()
	})
}
