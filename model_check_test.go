package httppipe_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/pipeline"
)

// want is the whole content of the answer to a.
func (a *action) want() []byte {
	if a.method == "HEAD" || a.answer.Status == 204 {
		return nil
	}
	return pipetest.Content(a.target, a.answer.Size)
}

// foreign looks whether a could have been deceived: it got the answer to whose.
func (r *run) foreign(a *action, whose string) {
	of, surplus := strings.CutPrefix(whose, "surplus of ")
	switch {
	case r.tr == nil: // net/http
	case surplus && r.isUnseen(of):
	case r.isMixedUp(a):
	default:
		r.t.Errorf("%s %s: got the answer to %q", a.method, a.target, whose)
	}
}

// isMixedUp reports whether a may have got the answer to a later request, because the
// server has lost one of those before it. That is found out if it happens to the first
// pair on a connection, which is why the pair leaves in one write; but a server that
// reads little at a time, or whose buffer holds no more, does it now and then only. No
// client can see that. With PipelineUploads two uploads are proof enough, though they
// need not come in one segment: the user has vouched for the server.
func (r *run) isMixedUp(a *action) bool {
	if r.net != nil && r.maxRead == 0 && r.maxWrite == 0 && r.buffer > 500 && !r.uploads {
		return false
	}
	lostSince := map[int]int{} // by connection
	for _, e := range r.server.Record() {
		if _, before := lostSince[e.Conn]; e.Dropped && !before {
			lostSince[e.Conn] = e.Index
		}
	}
	return slices.ContainsFunc(r.server.Record(), func(e pipetest.Entry) bool {
		since, lost := lostSince[e.Conn]
		return e.Target == a.target && lost && e.Index >= since
	})
}

// isUnseen reports whether the surplus behind the answer to target may be taken for an
// answer: if it was not received together with what came before it, by a goroutine
// that could not be asked whether there is more. See the Limitations.
func (r *run) isUnseen(target string) bool {
	// Over TCP it need not have arrived at the same time.
	return r.net == nil || !r.sockets && r.isApart(target)
}

// isApart reports whether the surplus behind the answer to target was received by a
// Read of its own.
func (r *run) isApart(target string) bool {
	surplus := surplusOf(target)
	for _, conn := range r.net.Conns() {
		reads := conn.ReadLog()
		begin := strings.Index(strings.Join(reads, ""), surplus)
		if begin < 0 {
			continue
		}
		for _, read := range reads {
			if begin == 0 {
				return true
			}
			if begin -= len(read); begin < 0 {
				break
			}
		}
	}
	return false
}

// check looks at the beginning of the content.
func (r *run) check(a *action, got []byte, err error) bool {
	if !bytes.HasPrefix(a.want(), got) {
		r.t.Errorf("%s %s: wrong octets: %.80q", a.method, a.target, got)
		return false
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		r.failed(a, err)
	}
	return true
}

// checkAll looks at the content, after which came err.
func (r *run) checkAll(a *action, resp *http.Response, got []byte, err error) {
	switch {
	case err != nil:
		r.check(a, got, err)
	case !bytes.Equal(got, a.want()):
		if a.answer.Truncate && bytes.HasPrefix(a.want(), got) && resp.ContentLength < 0 {
			return
		}
		r.t.Errorf("%s %s: %d octets %.60q without an error, want %d", a.method, a.target, len(got), got, len(a.want()))
	}
	if err == io.ErrUnexpectedEOF {
		r.failed(a, err)
	}
}

// failed looks whether there was a reason for err.
func (r *run) failed(a *action, err error) {
	switch {
	case errors.Is(err, errTookTooLong):
		r.hung(a)
	case errors.Is(err, pipeline.ErrStalled):
		// There is memory enough for what nobody reads.
		r.t.Errorf("%s %s: %v", a.method, a.target, err)
	case errors.Is(err, errGaveUp) && a.cancel > 0:
	case errors.Is(err, errRefused) && r.refused > 0:
	case r.trouble(a):
	default:
		r.t.Errorf("%s %s: %v (%T)", a.method, a.target, err, err)
	}
}

// hung takes note of a call that did not end. Who waits for an answer that another has
// got is excused, and so are those who wait for that connection.
func (r *run) hung(a *action) {
	mixed := r.isMixedUp(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mixed = r.mixed || mixed
	if !mixed && !(r.mixed && r.maxConns > 0) {
		r.hangs = append(r.hangs, a.target)
	}
}

// trouble reports whether something may happen to a that is not to be hidden.
func (r *run) trouble(a *action) bool {
	if a.answer.Truncate || a.method == "POST" || a.method == "PUT" || r.tr == nil || r.crash > 0 {
		return true
	}
	for _, b := range r.behaviours {
		if b.Ending != pipetest.EndLinger {
			return true // a reset can destroy an answer that has begun
		}
	}
	return r.isMixedUp(a)
}

// checkServer looks at what was received.
func (r *run) checkServer() {
	uploads := map[string][]byte{}
	r.actions(func(a *action) { uploads[a.target] = a.upload })
	exclusive := []string{"POST"}
	if !r.uploads {
		exclusive = append(exclusive, "PUT")
	}
	for _, e := range r.server.Record() {
		if e.Complete && e.Sum != sha256.Sum256(uploads[e.Target]) {
			r.t.Errorf("%s %s: wrong content of %d octets received", e.Method, e.Target, e.Octets)
		}
		if e.Followed && slices.Contains(exclusive, e.Method) {
			r.t.Errorf("%s %s: something was sent behind it", e.Method, e.Target)
		}
	}
	if repeated := r.server.Repeated(exclusive...); len(repeated) > 0 {
		r.t.Errorf("received twice: %v", repeated)
	}
	for _, err := range r.server.Malformed() {
		r.t.Errorf("malformed request: %v", err)
	}
}

// checkConns wants no more connections than there may be. A tls.Conn over what is no
// socket is closed by a goroutine, because that may block, and until then is one more;
// net/http gives its place away before it closes a connection.
func (r *run) checkConns() {
	if r.net == nil || r.tr == nil || r.maxConns == 0 || r.secure && !r.sockets {
		return
	}
	if n := len(r.net.Open()); n > r.maxConns {
		r.t.Errorf("%d connections, want %d at most", n, r.maxConns)
	}
}

// Bounds of what may lie in memory.
const (
	keptPerCall = 512 << 10 // read along with the head, or dropped so that others get on
	keptPerConn = 256 << 10 // in all buffers, as long as it is open
	handshake   = 4 << 10
)

// checkMemory wants that what callers do not read stays in the network.
func (r *run) checkMemory() {
	if r.net == nil || r.tr == nil {
		return
	}
	var received int64
	for _, conn := range r.net.Conns() {
		received += conn.Stats().OctetsRead
	}
	sizes := map[string]int{}
	r.actions(func(a *action) { sizes[a.target] = a.answer.Size })
	bound := r.consumed.Load() + int64(len(r.net.Open()))*keptPerConn + int64(len(r.net.Conns()))*handshake
	if r.uploads {
		bound += pipeline.DefaultMemory // for uploads behind what nobody reads
	}
	for _, e := range r.server.Record() {
		bound += int64(min(sizes[e.Target], keptPerCall)) + 1000
	}
	if received > bound {
		r.t.Errorf("%d octets were received, %d read by callers, %d more may be", received, r.consumed.Load(), bound-r.consumed.Load())
	}
}

// checkBodies wants every request body to have been closed once.
func (r *run) checkBodies() {
	if r.tr != nil && !r.allBodiesClosed() {
		r.t.Error("request bodies were not closed once each")
	}
}

func (r *run) allBodiesClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.bodies, func(b *slowBody) bool { return b.closed != 1 })
}
