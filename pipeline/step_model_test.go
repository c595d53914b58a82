package pipeline

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

var (
	stepSeed = flag.Uint64("stepseed", 0, "the only seed for TestStepModel and TestStepDriverModel")
	stepTime = flag.Duration("steptime", 500*time.Millisecond, "how long each of them takes")
)

// One goroutine sends and reads on a Conn, with an origin that is a state machine on
// the same goroutine: every step is decided by the seed, and a seed replays exactly.
// Whatever happens: answers come in order and with their own octets, all of those that
// have arrived before the connection ended can be read, the origin gets requests as
// they were sent, there is no deadlock, and no more than a little is kept in memory.
func TestStepModel(t *testing.T) {
	eachStep(t, func(t *testing.T, seed uint64) string {
		w := newStepWorld(t, seed)
		m := &stepModel{stepWorld: w, left: 1 + w.rng.IntN(30)}
		m.c = &Conn{nc: discardConn{}, link: w}
		m.c.sendHalf.init()
		m.c.receiveHalf.init()
		m.run()
		return w.log.String()
	})
}

// eachStep runs f with random seeds for a while, and with the first of them twice as
// often: the logs have to be the same.
func eachStep(t *testing.T, f func(t *testing.T, seed uint64) string) {
	first := *stepSeed
	if first == 0 {
		first = rand.Uint64() >> 1
	}
	n := 0
	for end := time.Now().Add(*stepTime); ; n++ {
		seed := first + uint64(n)
		t.Run(fmt.Sprintf("stepseed=%d", seed), func(t *testing.T) {
			if log := f(t, seed); n%10 == 0 {
				require.Equal(t, log, f(t, seed), "a second run")
			}
		})
		if *stepSeed != 0 || !time.Now().Before(end) || t.Failed() {
			break
		}
	}
	fmt.Printf("%s: %d seeds from %d\n", t.Name(), n+1, first)
}

// A stepModel is the client of one run.
type stepModel struct {
	*stepWorld
	c    *Conn
	n    int // requests begun
	left int // requests to begin

	send     *stepSend
	sendErr  error
	want     []*stepSend // begun and not yet answered
	targets  []*stepSend // all that were begun
	got      []byte
	reading  bool // want[0] has its head
	readErr  error
	answered int
}

// A stepSend is a request being sent.
type stepSend struct {
	req     *Request
	target  string
	content []byte // of the request
	rest    []byte // of it, still to be written
	cofunc  *Cofunc
	file    bool // the content is sent by SendFile
	held    bool // until 100
}

func (m *stepModel) run() {
	for range 1_000_000 {
		if m.readErr != nil || m.send == nil && (m.left == 0 || m.sendErr != nil) && len(m.want) == 0 {
			m.check()
			return
		}
		switch m.rng.IntN(6) {
		case 0, 1:
			m.sendSome()
		case 2, 3:
			m.readSome()
		case 4:
			m.poll()
		case 5:
			m.step()
		}
		m.checkMemory()
	}
	m.t.Fatal("no end")
}

func (m *stepModel) sendSome() {
	switch s := m.send; {
	case m.sendErr != nil:
	case s == nil && m.left > 0:
		m.begin()
	case s == nil:
	case s.cofunc != nil:
		m.resume(s)
	case s.held:
		if m.rng.IntN(20) == 0 {
			m.c.SkipContinue()
			s.held = false
		}
	case s.file:
		s.cofunc = m.c.SendFile(bytes.NewReader(s.rest))
		s.file, s.rest = false, nil
	case len(s.rest) > 0:
		n, err := m.c.TryWrite(s.rest[:m.some(len(s.rest))])
		m.logf("TryWrite %d %v", n, err)
		s.rest = s.rest[n:]
		m.failed(err)
	default:
		m.failed(m.c.CloseBody(nil))
		m.send = nil
	}
}

// begin makes a request of a random kind.
func (m *stepModel) begin() {
	s := &stepSend{target: fmt.Sprint("/", m.n)}
	s.req = &Request{Method: "GET", Target: s.target, Host: "h"}
	m.n++
	m.left--
	most := 1 << m.rng.IntN(16)
	content := pipetest.Content("up"+s.target, m.rng.IntN(min(most, 100*m.window))) // or it takes very long
	switch kind := m.rng.IntN(6); kind {
	case 0, 1, 2:
	case 3:
		s.req.Method, s.req.Body, s.content = "PUT", content, content
	default:
		s.req.Method, s.content, s.rest = "PUT", content, content
		if s.req.ContentLength = int64(len(content)); kind == 4 || len(content) == 0 {
			s.req.ContentLength = -1
		}
		s.file = m.rng.IntN(2) == 0
		s.held = m.rng.IntN(3) == 0
		s.req.ExpectContinue = s.held
	}
	s.cofunc = m.c.Send(s.req)
	m.send = s
	m.want, m.targets = append(m.want, s), append(m.targets, s)
}

// resume resumes the current cofunction, by Step or by Next.
func (m *stepModel) resume(s *stepSend) {
	ignored := s.cofunc.suspended && s.cofunc.parsed == m.c.rcv.parsed
	waits := !ignored && len(m.want) > 1 && m.rng.IntN(4) == 0 && m.c.Pending() && m.c.readable()
	more := true
	if m.rng.IntN(2) == 0 {
		more = s.cofunc.Next()
		m.logf("Next %v %v", more, s.cofunc.Err())
	} else {
		p := s.cofunc.Step()
		more = p != Done
		m.logf("Step %v %v", p, s.cofunc.Err())
	}
	require.False(m.t, waits && !more, "octets of a response were there\n%s", &m.log)
	if more {
		return
	}
	err := s.cofunc.Err()
	s.cofunc = nil
	if !m.failed(err) && s.req.ContentLength == 0 {
		m.send = nil
	}
}

// failed takes note that sending has failed.
func (m *stepModel) failed(err error) bool {
	if err == nil {
		return false
	}
	m.logf("sending: %v", err)
	require.ErrorIs(m.t, err, ErrConnectionClosed, "%s", &m.log)
	require.True(m.t, m.broken != nil || m.ended != nil || m.origin.finished, "%v\n%s", err, &m.log)
	m.sendErr, m.send = err, nil
	return true
}

func (m *stepModel) poll() {
	want := Readiness(m.rng.IntN(int(both) + 1))
	if !m.c.Pending() || m.send != nil && want&Writable == 0 {
		return // nothing need come
	}
	ready, err := m.c.Poll(bg(), want)
	m.logf("Poll %d %d %v", want, ready, err)
	require.NoError(m.t, err)
}

// readSome reads a head, or content. It waits only if nothing is left to send.
func (m *stepModel) readSome() {
	wait := m.send == nil && m.rng.IntN(2) == 0
	switch {
	case m.c.ResponseActive():
		p := make([]byte, m.some(8000))
		read := m.c.TryRead
		if wait {
			read = m.c.Read
		}
		n, err := read(p)
		m.logf("Read %d %v", n, err)
		m.got = append(m.got, p[:n]...)
		if err != nil && err != io.EOF && err != ErrWouldBlock {
			m.lost(err)
			return
		}
	case !m.c.Pending():
		if m.sendErr != nil {
			m.lost(m.sendErr) // what is in want was never sent
		}
		return
	default:
		if !m.readHead(wait) {
			return
		}
	}
	if m.reading && !m.c.ResponseActive() {
		s := m.want[0]
		sameOctets(m.t, m.seen(answerOf(m.origin.seed, s.target), m.got), m.got)
		m.want, m.got, m.reading = m.want[1:], nil, false
		m.answered++
	}
}

func (m *stepModel) readHead(wait bool) bool {
	read := m.c.TryReadResponse
	if wait {
		read = func() (*Response, error) { return m.c.ReadResponse(bg()) }
	}
	resp, err := read()
	m.logf("ReadResponse %+v %v", resp, err)
	if err != nil {
		if err != ErrWouldBlock {
			m.lost(err)
		}
		return false
	}
	s := m.want[0]
	require.Equal(m.t, s.target, resp.Target)
	s.held = false
	m.reading = resp.StatusCode == 200
	return m.reading
}

// lost takes note that there is nothing more to read.
func (m *stepModel) lost(err error) {
	m.logf("reading: %v", err)
	require.ErrorIs(m.t, err, ErrConnectionClosed, "%s", &m.log)
	require.True(m.t, m.ended != nil || m.broken != nil || m.origin.finished, "%v\n%s", err, &m.log)
	m.readErr = err
}

// check is called at the end.
func (m *stepModel) check() {
	o := &m.origin
	require.NoError(m.t, o.bad)
	for i, got := range o.got {
		require.Equal(m.t, m.targets[i].target, got.target)
		sameOctets(m.t, m.targets[i].content, got.content)
	}
	complete, perhaps := 0, 0
	for i, end := range o.ends {
		switch {
		case answerOf(o.seed, m.targets[i].target).untilClose:
			if m.ended == io.EOF && m.broken == nil {
				perhaps = 1 // nobody can know whether all of it has come
			}
		case end <= m.received:
			complete++
		}
	}
	if m.readErr == nil {
		require.Equal(m.t, m.n, m.answered)
	}
	require.GreaterOrEqual(m.t, m.answered, complete, "answers that have arrived\n%s", &m.log)
	require.LessOrEqual(m.t, m.answered, complete+perhaps, "answers that have arrived\n%s", &m.log)
	m.c.Close()
	require.True(m.t, m.closed)
	require.True(m.t, errors.Is(m.c.failed(), ErrConnectionClosed))
}

// checkMemory wants what is kept to be little, whatever the peer does.
func (m *stepModel) checkMemory() {
	kept := len(m.c.next) + len(m.c.out) - m.c.off
	if received := len(m.c.rcv.buf); received > receiveMax || kept > chunkSize+partial+1000 {
		m.t.Fatalf("%d octets received are kept, and %d to be sent", received, kept)
	}
}
