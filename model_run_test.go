package httppipe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A run is one execution of a program.
type run struct {
	*program
	t        *testing.T
	url      string
	server   *pipetest.Server
	rt       http.RoundTripper
	tr       *httppipe.Transport // rt, unless that is another's
	net      *memnet.Network     // nil over TCP
	patience time.Duration       // after that time a call counts as hanging
	done     chan struct{}       // closed when all callers are
	consumed atomic.Int64        // octets of content that callers have read

	mu     sync.Mutex
	hangs  []string // targets of calls that did not end
	mixed  bool     // one of them was deceived
	bodies []*slowBody
}

// inMemory returns the targets of calls that hang.
func (p *program) inMemory(t *testing.T, newTransport func(pipetest.DialFunc) http.RoundTripper) (hangs []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p.server(), newTransport, p.options()...)
		for i := range p.refusals {
			w.net.FailDial(p.refused+i, errRefused)
		}
		r := &run{
			program: p, t: t, url: worldURL, server: w.server, rt: w.rt, tr: w.tr, net: w.net,
			patience: 10 * time.Minute, // the time is virtual
		}
		if p.mayHang() {
			r.patience = 10 * time.Second // or it looks again and again until then
		}
		if p.secure {
			r.url = "https://" + pipetest.Host + ":80"
		}
		r.play(func() {
			synctest.Wait()
			r.checkMemory()
		})
		defer func() {
			if t.Failed() {
				t.Log(p)
			}
		}()
		w.wantNothingLeft()
		r.checkBodies()
		hangs = r.hangs
	})
	return hangs
}

// overTCP is inMemory over sockets of the system, or over what only looks like any
// net.Conn.
func (p *program) overTCP(t *testing.T) (hangs []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := p.server()
	server.Start(t, ln)
	var dials atomic.Int64
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		if n := int(dials.Add(1)); n >= p.refused && n < p.refused+p.refusals {
			return nil, errRefused
		}
		nc, err := new(net.Dialer).DialContext(ctx, network, ln.Addr().String())
		if err != nil || p.sockets {
			return nc, err
		}
		return struct{ net.Conn }{nc}, nil
	}
	r := &run{program: p, t: t, server: server, rt: p.piped()(dial), patience: 20 * time.Second}
	r.tr = r.rt.(*httppipe.Transport)
	r.url = "http://" + pipetest.Host
	if p.secure {
		r.url = "https://" + pipetest.Host
	}
	r.play(func() {})
	require.Eventually(t, func() bool {
		r.tr.CloseIdleConnections()
		s := r.tr.Stats()
		return server.Open() == 0 && s.Conns == 0 && s.Waiting == 0
	}, 10*time.Second, time.Millisecond, "something is left\n%v", p)
	require.Eventually(t, r.allBodiesClosed, 10*time.Second, time.Millisecond)
	if t.Failed() {
		t.Log(p)
	}
	return r.hangs
}

// play runs all callers, and atRest before those who hold something give it up.
func (r *run) play(atRest func()) {
	r.done = make(chan struct{})
	if r.crash > 0 {
		defer time.AfterFunc(r.crash, r.server.ResetAll).Stop()
	}
	var callers, holders sync.WaitGroup
	for _, actions := range r.callers {
		callers.Go(func() {
			for i := range actions {
				r.do(&actions[i], &holders)
			}
		})
	}
	callers.Wait()
	atRest()
	close(r.done)
	holders.Wait()
	if r.net != nil {
		synctest.Wait()
	}
	r.checkServer()
}

var (
	errRefused = errors.New("refused by the test")
	errGaveUp  = errors.New("the caller gave up")
)

// do makes a call and looks at what it brings.
func (r *run) do(a *action, holders *sync.WaitGroup) {
	time.Sleep(a.pause)
	ctx, cancel := context.WithTimeoutCause(context.Background(), r.patience, errTookTooLong)
	defer cancel()
	if a.cancel > 0 {
		var cancelIn context.CancelFunc
		ctx, cancelIn = context.WithTimeoutCause(ctx, a.cancel, errGaveUp)
		defer cancelIn()
	}
	req, err := http.NewRequestWithContext(ctx, a.method, r.url+a.target, nil)
	require.NoError(r.t, err)
	if len(a.upload) > 0 {
		req.Body, req.ContentLength = r.newSlowBody(a), int64(len(a.upload))
		req.GetBody = func() (io.ReadCloser, error) { return r.newSlowBody(a), nil }
	}
	resp, err := r.rt.RoundTrip(req)
	if err != nil {
		r.failed(a, err)
		return
	}
	r.checkConns()
	if whose := resp.Header.Get("X-Target"); whose != a.target {
		r.foreign(a, whose)
		resp.Body.Close()
		return
	}
	resp.Body = &counter{resp.Body, &r.consumed}
	r.read(a, resp, holders)
}

// A counter counts octets.
type counter struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// read does with the response what the action says.
func (r *run) read(a *action, resp *http.Response, holders *sync.WaitGroup) {
	got := make([]byte, a.partly)
	n, err := io.ReadFull(resp.Body, got)
	got = got[:n]
	if !r.check(a, got, err) || err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		resp.Body.Close()
		return
	}
	switch a.use {
	case readLate:
		time.Sleep(a.wait)
		r.checkMemory()
	case closeOnly:
		resp.Body.Close()
		return
	case leak:
		holders.Go(func() {
			<-r.done
			resp.Body.Close()
		})
		return
	case nest:
		r.do(a.nested, holders)
	}
	rest, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	r.checkAll(a, resp, append(got, rest...), err)
}

// A slowBody produces the content of an upload.
type slowBody struct {
	run    *run
	r      *bytes.Reader
	pace   time.Duration
	closed int // guarded by run.mu
}

func (r *run) newSlowBody(a *action) *slowBody {
	b := &slowBody{run: r, r: bytes.NewReader(a.upload), pace: a.uploadPace}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, b)
	return b
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.pace)
	return b.r.Read(p[:min(len(p), 1000)])
}

func (b *slowBody) Close() error {
	b.run.mu.Lock()
	defer b.run.mu.Unlock()
	b.closed++
	return nil
}
