package pipeline

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/wire"
)

// The same as TestStepModel with a Driver: calls are submitted, awaited, read, closed
// and given up in any order on one goroutine. It awaits those only that it need not
// wait for others for, so that no timer has a part in it. Besides what is wanted
// there: every call leaves once, bodies are closed once, and what is called unsent has
// not reached the network, not one octet of it.
func TestStepDriverModel(t *testing.T) {
	eachStep(t, func(t *testing.T, seed uint64) (log string) {
		bubble(t, func(t *testing.T) { // where time stands still
			w := newStepWorld(t, seed)
			w.window = 1 << 30 // who has to wait for room gets a goroutine
			m := &stepDriver{stepWorld: w, submits: 1 + w.rng.IntN(30)}
			// What counts as held comes off it when the garbage collector runs: all or
			// nothing is for sure.
			opts := &Options{Memory: &Memory{Limit: []int64{0, 1}[w.rng.IntN(2)]}}
			m.d = NewDriver(discardConn{}, opts, Hooks{Left: m.noteLeft, Ended: m.noteEnded})
			m.d.c.link.close()
			m.d.c.link = w
			m.run()
			log = w.log.String()
		})
		return log
	})
}

// A stepDriver is the client of one run.
type stepDriver struct {
	*stepWorld
	d       *Driver
	submits int // calls to submit
	calls   []*stepCall
	open    []*stepCall // of which something is still to be done
	ended   []error
}

type stepCall struct {
	Call
	body    *testBody
	content []byte // of the request
	begin   int64  // place in the stream of octets
	got     []byte
	left    int
	awaited bool // it has a response, or an error
	failed  error
}

func (m *stepDriver) noteLeft(call *Call) {
	i := slices.IndexFunc(m.calls, func(c *stepCall) bool { return &c.Call == call })
	m.logf("left %d", i)
	m.calls[i].left++
}

func (m *stepDriver) noteEnded(err error) {
	m.logf("ended %v", err)
	m.ended = append(m.ended, err)
}

func (m *stepDriver) run() {
	for m.submits > 0 || len(m.open) > 0 {
		switch m.rng.IntN(8) {
		case 0, 1:
			m.submit()
		case 2, 3, 4:
			m.proceed()
		case 5:
			m.step()
		case 6:
			m.giveUp()
		case 7:
			m.disturb()
		}
	}
	m.d.Close()
	m.check()
}

func (m *stepDriver) submit() {
	if m.submits == 0 {
		return
	}
	m.submits--
	call := &stepCall{}
	target := fmt.Sprint("/", len(m.calls))
	call.Request = wire.RequestHead{Method: "GET", Target: target, Host: "h"}
	call.Wake = make(chan struct{}, 1)
	call.Interim = m.rng.IntN(5) == 0
	call.Repeat = Repeat(m.rng.IntN(int(RepeatNever) + 1))
	if m.rng.IntN(4) == 0 {
		call.content = pipetest.Content("up"+target, m.rng.IntN(coalesce))
		call.Request.Method, call.Content = "PUT", call.content
		call.Request.Framing = wire.Framing{Kind: wire.Length, Length: int64(len(call.content))}
		if m.rng.IntN(2) == 0 {
			call.Request.Framing = wire.Framing{Kind: wire.Chunked}
		}
		call.body = &testBody{}
		call.Body = call.body
	}
	call.More = m.submits > 0 && call.body == nil && m.rng.IntN(3) == 0
	call.begin = m.d.c.queued
	m.calls = append(m.calls, call)
	err := m.d.Submit(&call.Call)
	m.logf("Submit %s %v", target, err)
	if err != nil {
		call.left++ // it has never come
		m.note(call, err)
		return
	}
	m.open = append(m.open, call)
	if call.More {
		m.submit()
	}
}

// proceed gets on with the oldest of which something is to be done.
func (m *stepDriver) proceed() {
	if len(m.open) == 0 {
		return
	}
	call := m.open[0]
	if !call.awaited {
		m.await(call)
	} else {
		m.read(call)
	}
}

func (m *stepDriver) await(call *stepCall) {
	interim, err := m.d.Await(bg(), &call.Call)
	m.logf("Await %s %d %v %v", call.Request.Target, len(interim), call.Final, err)
	if err == nil && !call.Final {
		return
	}
	m.note(call, err)
	if err != nil {
		m.open = m.open[1:]
	}
}

// note takes note of what Submit or Await has said.
func (m *stepDriver) note(call *stepCall, err error) {
	call.awaited, call.failed = true, err
	if err == nil {
		require.Equal(m.t, 200, call.Response.StatusCode)
		return
	}
	var failed *CallError
	require.ErrorAs(m.t, err, &failed)
	if failed.Unsent {
		require.GreaterOrEqual(m.t, call.begin, m.sent, "%s is said to be unsent: %v\n%s", call.Request.Target, err, &m.log)
	}
}

func (m *stepDriver) read(call *stepCall) {
	p := make([]byte, m.some(8000))
	n, err := call.Read(p)
	m.logf("Read %s %d %v", call.Request.Target, n, err)
	call.got = append(call.got, p[:n]...)
	want := answerOf(m.origin.seed, call.Request.Target)
	require.LessOrEqual(m.t, len(call.got), len(want.content))
	sameOctets(m.t, want.content[:len(call.got)], call.got)
	switch {
	case err == nil:
		return
	case err == io.EOF:
		require.Len(m.t, call.got, len(m.seen(want, call.got)), "%s\n%s", call.Request.Target, &m.log)
		require.False(m.t, want.untilClose && m.stepWorld.ended != io.EOF, "nobody can know")
	}
	m.open = m.open[1:]
}

// giveUp closes or abandons some call.
func (m *stepDriver) giveUp() {
	if len(m.open) == 0 || m.rng.IntN(3) > 0 {
		return
	}
	i := m.rng.IntN(len(m.open))
	call := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	m.logf("give up %s", call.Request.Target)
	if call.awaited {
		call.Close()
	} else {
		call.failed = errors.New("given up")
		m.d.Abandon(&call.Call, call.failed)
	}
}

// disturb does what is done to connections beside calls.
func (m *stepDriver) disturb() {
	switch m.rng.IntN(40) {
	case 0:
		m.logf("Retire")
		m.d.Retire()
	case 1:
		m.logf("Close")
		m.d.Close()
	case 2, 3, 4, 5, 6, 7, 8, 9:
		m.logf("Check %v", m.d.Check())
	}
}

// check is called at the end.
func (m *stepDriver) check() {
	require.NoError(m.t, m.origin.bad)
	require.Len(m.t, m.ended, 1)
	require.True(m.t, m.stepWorld.closed)
	for _, call := range m.calls {
		require.Equal(m.t, 1, call.left, "how often %s has left\n%s", call.Request.Target, &m.log)
		if call.body != nil {
			require.Equal(m.t, 1, call.body.timesClosed(), "the body of %s\n%s", call.Request.Target, &m.log)
		}
	}
	for _, got := range m.origin.got {
		i := slices.IndexFunc(m.calls, func(c *stepCall) bool { return c.Request.Target == got.target })
		sameOctets(m.t, m.calls[i].content, got.content)
	}
}
