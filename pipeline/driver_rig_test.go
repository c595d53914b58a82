package pipeline

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/wire"
)

// eachLink runs script over every back-end: in a bubble over the pump and over a
// socket in memory, both plain and below TLS, and outside over a socket, plain and
// with TLS by TLSClient.
func eachLink(t *testing.T, script func(t *testing.T, opts ...pipetest.Option)) {
	pipetest.EachNetwork(t, script)
	socket := pipetest.Net(memnet.Sockets())
	t.Run("socket", func(t *testing.T) {
		bubble(t, func(t *testing.T) { script(t, socket) })
	})
	t.Run("socket with tls", func(t *testing.T) {
		bubble(t, func(t *testing.T) { script(t, socket, pipetest.TLS()) })
	})
	t.Run("tcp with tls", func(t *testing.T) { script(t, pipetest.TCP(), pipetest.TLS()) })
}

// bubble runs script in a bubble.
func bubble(t *testing.T, script func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, script)
}

// A rig is a Driver, the origin it talks to, and a record of what its hooks said.
type rig struct {
	*Driver
	t      *testing.T
	origin *pipetest.Origin
	nc     net.Conn // below TLS

	mu    sync.Mutex
	jobs  []*job
	left  map[*Call]int
	ended []error
}

func newRig(t *testing.T, opts ...pipetest.Option) *rig {
	t.Helper()
	return newRigWith(t, nil, opts...)
}

func newRigWith(t *testing.T, options *Options, opts ...pipetest.Option) *rig {
	t.Helper()
	r := &rig{t: t, origin: pipetest.NewOrigin(t, opts...), left: make(map[*Call]int)}
	nc, err := r.origin.DialContext(t.Context(), "tcp", r.origin.Addr())
	require.NoError(t, err)
	r.nc = nc
	if strings.HasPrefix(r.origin.URL(), "https:") {
		config, _ := pipetest.TLSConfigs()
		config.ServerName = pipetest.Host
		nc = TLSClient(nc, config)
		require.NoError(t, nc.(*tls.Conn).Handshake())
	}
	r.Driver = NewDriver(nc, options, Hooks{Left: r.noteLeft, Ended: r.noteEnded})
	t.Cleanup(r.close)
	return r
}

func (r *rig) noteLeft(call *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[call]++
}

func (r *rig) noteEnded(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, err)
}

// close ends the test: every call must settle, and have left exactly once.
func (r *rig) close() {
	r.Close()
	for _, j := range r.jobs {
		<-j.done
		// Whoever noticed tells of it, which may be another than who closed.
		r.eventually(func() bool { return r.timesLeft(j) > 0 }, "it has left")
		require.Equal(r.t, 1, r.timesLeft(j), "how often %s has left", j.Request.Target)
		if j.body != nil {
			require.Equal(r.t, 1, j.body.timesClosed(), "how often the body of %s was closed", j.Request.Target)
		}
	}
	timesEnded := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.ended)
	}
	// Its hook is called by whoever ended it, which may have been another before.
	r.eventually(func() bool { return timesEnded() > 0 }, "it has ended")
	require.Equal(r.t, 1, timesEnded(), "how often it has ended")
}

func (r *rig) timesLeft(j *job) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left[&j.Call]
}

// wantEnded wants the connection to have ended.
func (r *rig) wantEnded() {
	r.t.Helper()
	r.eventually(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.ended) == 1
	}, "the connection has ended")
	require.False(r.t, r.Usable())
}

// wantUsable wants the connection to go on.
func (r *rig) wantUsable() {
	r.t.Helper()
	j := r.get("/still-usable")
	r.origin.WantRequests("GET /still-usable")
	r.origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
	j.wantContent("yes")
}

// eventually waits for cond; in a bubble, until all goroutines rest.
func (r *rig) eventually(cond func() bool, what string) {
	r.t.Helper()
	if r.origin.Network != nil {
		synctest.Wait()
		require.True(r.t, cond(), what)
		return
	}
	require.Eventually(r.t, cond, patienceOfTests, 1e6, what)
}

const patienceOfTests = 10e9

// A job is a call and the goroutine that awaits it.
type job struct {
	Call
	r      *rig
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   *testBody

	done  chan struct{} // closed when Await has returned something final
	err   error
	mu    sync.Mutex
	heads []int // statuses of interim responses
}

// get submits a GET and awaits it in the background.
func (r *rig) get(target string, change ...func(*job)) *job {
	r.t.Helper()
	j := r.job("GET", target, prompt)
	for _, f := range change {
		f(j)
	}
	require.NoError(r.t, j.submit())
	return j
}

// put submits a PUT with content and awaits it in the background.
func (r *rig) put(target, content string, change ...func(*job)) *job {
	r.t.Helper()
	j := r.job("PUT", target, prompt)
	j.Request.Framing = wire.Framing{Kind: wire.Length, Length: int64(len(content))}
	j.Content = []byte(content)
	for _, f := range change {
		f(j)
	}
	require.NoError(r.t, j.submit())
	return j
}

func (r *rig) job(method, target string, change ...func(*job)) *job {
	j := &job{r: r, done: make(chan struct{})}
	j.Request = wire.RequestHead{Method: method, Target: target, Host: pipetest.Host}
	j.Wake = make(chan struct{}, 1)
	j.ctx, j.cancel = context.WithCancelCause(context.Background())
	for _, f := range change {
		f(j)
	}
	return j
}

// prompt is for a job that is awaited at once; late for one whose caller looks by itself
// whether there is something to read.
func prompt(j *job) { j.Prompt = true }
func late(j *job)   { j.Prompt = false }

// bodyOf replaces content in memory by a reader of it.
func bodyOf(content string) func(*job) {
	return func(j *job) { withBody(strings.NewReader(content))(j) }
}

// withBody replaces content in memory by a reader, which can be used once.
func withBody(rd io.Reader) func(*job) {
	return func(j *job) {
		j.body = &testBody{r: rd}
		j.Content, j.Body = nil, j.body
	}
}

func chunkedBody(j *job) { j.Request.Framing = wire.Framing{Kind: wire.Chunked} }

func (j *job) submit() error {
	if err := j.r.Submit(&j.Call); err != nil {
		close(j.done)
		return err
	}
	j.r.jobs = append(j.r.jobs, j)
	go j.await()
	return nil
}

func (j *job) await() {
	defer close(j.done)
	for {
		interim, err := j.r.Await(j.ctx, &j.Call)
		if err != nil || j.Final {
			j.err = err
			return
		}
		j.mu.Lock()
		for _, head := range interim {
			j.heads = append(j.heads, head.StatusCode)
		}
		j.mu.Unlock()
	}
}

// wantHead waits for a final response.
func (j *job) wantHead(status int) {
	j.r.t.Helper()
	<-j.done
	require.NoError(j.r.t, j.err, j.Request.Target)
	require.Equal(j.r.t, status, j.Response.StatusCode)
	if j.Complete() && j.Request.Framing.Kind == wire.NoContent {
		require.Equal(j.r.t, 1, j.r.timesLeft(j), "Left is told before the caller wakes")
	}
}

// wantContent waits for a response with this content.
func (j *job) wantContent(want string) {
	j.r.t.Helper()
	<-j.done
	require.NoError(j.r.t, j.err, j.Request.Target)
	got, err := io.ReadAll(&j.Call)
	require.NoError(j.r.t, err, j.Request.Target)
	require.Equal(j.r.t, want, string(got), j.Request.Target)
}

// wantFailure waits for an error, which is target by errors.Is.
func (j *job) wantFailure(target error) *CallError {
	j.r.t.Helper()
	<-j.done
	var failed *CallError
	require.ErrorAs(j.r.t, j.err, &failed, j.Request.Target)
	require.ErrorIs(j.r.t, failed, target, j.Request.Target)
	require.Equal(j.r.t, 1, j.r.timesLeft(j), "Left is told before the caller wakes")
	return failed
}

// awaitRead waits until content is being read from the connection.
func (j *job) awaitRead() {
	j.r.t.Helper()
	j.r.eventually(func() bool {
		j.r.c.mu.Lock()
		defer j.r.c.mu.Unlock()
		return j.Call.body.reading
	}, "a Read has begun")
}

func (j *job) isPending() bool {
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// wantPending wants Await not to have returned; in bubbles only.
func (j *job) wantPending() {
	j.r.t.Helper()
	synctest.Wait()
	require.True(j.r.t, j.isPending(), "%s is settled", j.Request.Target)
}

func (j *job) statuses() []int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.heads
}

// A testBody is content that counts how often it is closed. If r is nil, Read
// blocks until then.
type testBody struct {
	r      io.Reader
	once   sync.Once
	mu     sync.Mutex
	closed int
	gone   chan struct{}
}

var errBodyGone = errors.New("body closed")

func (b *testBody) ch() chan struct{} {
	b.once.Do(func() { b.gone = make(chan struct{}) })
	return b.gone
}

func (b *testBody) Read(p []byte) (int, error) {
	if b.r == nil {
		<-b.ch()
		return 0, errBodyGone
	}
	return b.r.Read(p)
}

func (b *testBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed++; b.closed == 1 {
		close(b.ch())
	}
	return nil
}

func (b *testBody) timesClosed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// answerWith is a response with this content.
func answerWith(content string, fields ...string) string {
	head := "HTTP/1.1 200 OK\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(content), content)
}
