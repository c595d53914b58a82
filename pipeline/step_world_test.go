package pipeline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// A stepWorld is a link, a network and an origin without a goroutine or a clock: each
// step (how many octets move, in which direction, when the peer ends) is decided by
// the seed, on the goroutine of the test. What happens is logged, so that two runs
// with one seed can be compared.
type stepWorld struct {
	t      *testing.T
	rng    *rand.Rand
	log    strings.Builder
	origin stepOrigin

	held     []byte // taken, not yet on the wire, as records of TLS may be
	toOrigin []byte // on the wire
	toClient []byte
	arrived  []byte // can be taken
	window   int    // octets that fit on the wire to the origin
	holds    bool   // octets may be held
	taken    int64
	sent     int64 // octets that were put on the wire to the origin, or were lost there
	received int64 // octets that have ever been in arrived

	fault   stepFault
	faultAt int64 // octets, of answers or for faultWrite of requests, before it
	ended   error // what a read finds behind arrived
	broken  error // what a write finds
	told    bool  // of a reset
	closed  bool

	stopReading, stopWriting bool
}

type stepFault uint8

const (
	noFault    stepFault = iota
	faultClose           // the origin closes
	faultReset           // and what has not arrived is lost
	faultWrite           // nothing more can be written; answers still come
	numFaults
)

func newStepWorld(t *testing.T, seed uint64) *stepWorld {
	w := &stepWorld{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	w.window = []int{1, 50, 5000, 1 << 20}[w.rng.IntN(4)]
	w.holds = w.rng.IntN(3) == 0
	w.origin.seed = seed
	w.origin.limit = []int{1, 1000, 1 << 20}[w.rng.IntN(3)]
	if w.rng.IntN(2) == 0 {
		w.fault = stepFault(w.rng.IntN(int(numFaults)))
		w.faultAt = w.rng.Int64N(20_000)
	}
	return w
}

func (w *stepWorld) logf(format string, args ...any) { fmt.Fprintf(&w.log, format+"\n", args...) }

// some is a number from 1 to most, often the whole of it.
func (w *stepWorld) some(most int) int {
	if most <= 1 || w.rng.IntN(3) == 0 {
		return most
	}
	return 1 + w.rng.IntN(most)
}

// step lets one thing happen outside of the client; false means that nothing can.
func (w *stepWorld) step() bool {
	if w.strike() {
		return true
	}
	var can []func()
	add := func(possible bool, f func()) {
		if possible {
			can = append(can, f)
		}
	}
	o := &w.origin
	add(len(w.toOrigin) > 0 && len(o.out) < o.limit && w.ended == nil, func() {
		n := w.some(len(w.toOrigin))
		o.in, o.fresh = append(o.in, w.toOrigin[:n]...), true
		w.toOrigin = w.toOrigin[n:]
	})
	add(o.fresh && w.ended == nil, o.step)
	add(len(o.out) > 0 && w.ended == nil, func() {
		n := w.some(len(o.out))
		if w.fault == faultClose || w.fault == faultReset {
			n = int(min(int64(n), w.faultAt-o.sent))
		}
		w.toClient = append(w.toClient, o.out[:n]...)
		o.out, o.sent = o.out[n:], o.sent+int64(n)
	})
	add(len(w.toClient) > 0, func() {
		n := w.some(len(w.toClient))
		w.arrived = append(w.arrived, w.toClient[:n]...)
		w.toClient, w.received = w.toClient[n:], w.received+int64(n)
	})
	add(o.finished && len(o.out) == 0 && w.ended == nil, func() { w.end(io.EOF) })
	if len(can) == 0 && w.broken != nil && w.ended == nil {
		can = append(can, func() { w.end(io.EOF) }) // it has half a request, and waits for no more
	}
	if len(can) == 0 {
		return false
	}
	can[w.rng.IntN(len(can))]()
	return true
}

// seen is the content that somebody has to see in a who has got so much of it, and
// then its end: all of it, unless it is delimited by the end of the connection, and
// that came early.
func (w *stepWorld) seen(a stepAnswer, got []byte) []byte {
	if a.untilClose && w.origin.sent < w.origin.made && len(got) < len(a.content) {
		return a.content[:len(got)]
	}
	return a.content
}

// strike has the fault happen when it is due, and reports whether it did.
func (w *stepWorld) strike() bool {
	switch {
	case w.ended != nil:
		return false
	case w.fault == faultClose && w.origin.sent >= w.faultAt:
		w.end(io.EOF)
	case w.fault == faultReset && w.origin.sent >= w.faultAt:
		w.toClient = nil
		w.end(syscall.ECONNRESET)
	case w.fault == faultWrite && w.broken == nil && w.sent >= w.faultAt:
		w.logf("writes fail")
		w.broken = syscall.EPIPE
	default:
		return false
	}
	return true
}

// end ends the connection; what is written from now on is lost.
func (w *stepWorld) end(err error) {
	w.logf("end %v", err)
	w.ended, w.toOrigin = err, nil
	if err != io.EOF {
		w.broken = err
	}
}

func (w *stepWorld) transfer(in, out []byte, block bool) (m moved) {
	for range w.rng.IntN(4) {
		w.step()
	}
	for {
		w.try(in, out, &m)
		if !m.nothing() || !block || w.interrupted(in != nil, in == nil || out != nil) {
			break
		}
		if !w.step() {
			w.t.Fatalf("nobody can move: %d octets wanted, %d to be sent, ended %v\n%s", len(in), len(out), w.ended, w.log.String())
		}
	}
	w.logf("transfer %d %d %v: %+v", len(in), len(out), block, m)
	return m
}

func (w *stepWorld) try(in, out []byte, m *moved) {
	if len(in) > 0 {
		w.tryIn(in, m)
	}
	if out != nil || in == nil {
		w.tryOut(out, m)
	}
}

func (w *stepWorld) tryIn(in []byte, m *moved) {
	switch n := min(len(in), len(w.arrived)); {
	case n > 0:
		m.in = copy(in[:w.some(n)], w.arrived)
		w.arrived = w.arrived[m.in:]
	case len(w.toClient) > 0 || w.ended == nil:
	case w.told:
		m.inErr = io.EOF
	default:
		m.inErr, w.told = w.ended, true
	}
}

func (w *stepWorld) tryOut(out []byte, m *moved) {
	w.strike()
	if w.broken != nil {
		m.outErr = w.broken
		return
	}
	m.flushed = w.flush()
	if len(w.held) > 0 || len(out) == 0 {
		return
	}
	if w.holds {
		m.out = w.some(len(out))
		w.held = append(w.held, out[:m.out]...)
		w.taken += int64(m.out)
		w.flush()
		return
	}
	if room := w.window - len(w.toOrigin); room > 0 {
		m.out = w.some(min(len(out), room))
		w.put(out[:m.out])
		w.taken += int64(m.out)
	}
}

// flush passes on what is held.
func (w *stepWorld) flush() bool {
	room := w.window - len(w.toOrigin)
	if len(w.held) == 0 || room <= 0 {
		return false
	}
	n := w.some(min(len(w.held), room))
	w.put(w.held[:n])
	w.held = w.held[n:]
	return true
}

func (w *stepWorld) put(p []byte) {
	w.sent += int64(len(p))
	if w.ended == nil {
		w.toOrigin = append(w.toOrigin, p...)
	}
}

// interrupted consumes a pending interrupt.
func (w *stepWorld) interrupted(reading, writing bool) bool {
	yes := reading && w.stopReading || writing && w.stopWriting
	w.stopReading = w.stopReading && !reading
	w.stopWriting = w.stopWriting && !writing
	return yes
}

func (w *stepWorld) interrupt(reading, writing bool) {
	w.stopReading = w.stopReading || reading
	w.stopWriting = w.stopWriting || writing
}

func (w *stepWorld) catchUp()                 {}
func (w *stepWorld) unsent() int              { return len(w.held) }
func (w *stepWorld) delivered() int64         { return w.sent }
func (w *stepWorld) writeError() error        { return w.broken }
func (w *stepWorld) release() ([]byte, error) { return nil, errors.ErrUnsupported }

func (w *stepWorld) close() error {
	w.logf("close")
	w.closed = true
	return nil
}

// A stepOrigin answers requests, in order. It does not read on while there is more
// than so much that it has not sent.
type stepOrigin struct {
	seed     uint64
	limit    int
	in, out  []byte
	sent     int64 // octets of out that were sent
	made     int64 // octets of answers, ever
	fresh    bool  // in has grown
	said100  bool
	answered bool // the request at the front of in has its answer already
	finished bool
	bad      error
	got      []stepRequest
	ends     []int64 // where answers end in the stream of octets
}

type stepRequest struct {
	target  string
	content []byte
}

// A stepAnswer is what the origin says to one target.
type stepAnswer struct {
	content    []byte
	octets     string
	early      bool // before the content of the request is there
	last       bool
	untilClose bool
}

func answerOf(seed uint64, target string) (a stepAnswer) {
	h := fnv.New64a()
	io.WriteString(h, target)
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	most := 1 << rng.IntN(15)
	if rng.IntN(40) == 0 {
		most = 20 * receiveMax
	}
	a.content = pipetest.Content(target, rng.IntN(most))
	a.early = rng.IntN(4) == 0
	a.last = rng.IntN(60) == 0
	a.untilClose = a.last && rng.IntN(2) == 0
	var b strings.Builder
	for range rng.IntN(3) * rng.IntN(2) {
		b.WriteString("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
	}
	b.WriteString("HTTP/1.1 200 OK\r\n")
	if a.last {
		b.WriteString("Connection: close\r\n")
	}
	switch {
	case a.untilClose:
		fmt.Fprintf(&b, "\r\n%s", a.content)
	case rng.IntN(2) == 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(a.content), a.content)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for rest := a.content; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		b.WriteString("0\r\n\r\n")
	}
	a.octets = b.String()
	return a
}

// step reads at most one request, and answers it.
func (o *stepOrigin) step() {
	o.fresh = false
	if o.finished || !bytes.Contains(o.in, []byte("\r\n\r\n")) {
		return
	}
	r := bytes.NewReader(o.in)
	br := bufio.NewReader(r)
	req, err := http.ReadRequest(br)
	if err != nil {
		o.bad = err
		return
	}
	a := answerOf(o.seed, req.RequestURI)
	if req.Header.Get("Expect") != "" && !a.early && !o.said100 {
		o.said100 = true
		o.say("HTTP/1.1 100 Continue\r\n\r\n")
	}
	if a.early && !o.answered {
		o.answer(a)
	}
	content, err := io.ReadAll(req.Body)
	if err != nil || o.finished {
		return
	}
	o.got = append(o.got, stepRequest{req.RequestURI, content})
	if !o.answered {
		o.answer(a)
	}
	o.in = o.in[len(o.in)-r.Len()-br.Buffered():]
	o.said100, o.answered, o.fresh = false, false, len(o.in) > 0
}

func (o *stepOrigin) answer(a stepAnswer) {
	o.answered = true
	o.say(a.octets)
	o.ends = append(o.ends, o.made)
	o.finished = a.last
}

func (o *stepOrigin) say(octets string) {
	o.out = append(o.out, octets...)
	o.made += int64(len(octets))
}
