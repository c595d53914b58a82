package httppipe_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A program is what callers do, and what the server does to them.
type program struct {
	seed    int
	callers [][]action

	latency     time.Duration
	buffer      int
	maxRead     int
	maxWrite    int
	dropOnReset bool
	sockets     bool // and not goroutines, serve the connections
	secure      bool // TLS
	refused     int  // this dial is refused; 0: none
	refusals    int  // and so are those that follow, so many in all
	crash       time.Duration
	behaviours  []pipetest.Behaviour
	mean        bool // answers are truncated
	surplus     bool // or followed by answers to nobody
	maxConns    int
	maxIdle     int
	idleTime    time.Duration
	depth       int
	uploads     bool
	noKeepAlive bool
	patient     bool // nobody holds a response for ever, or until another call is done
}

// An action is one call of a caller.
type action struct {
	method, target string
	answer         pipetest.Answer
	upload         []byte
	uploadPace     time.Duration // before each 1000 octets of upload
	pause          time.Duration // before the call
	cancel         time.Duration // after this time, if positive
	use            use
	partly         int           // octets read before what use says
	wait           time.Duration // what "late" means
	nested         *action
}

// use is what a caller does with the body of a response.
type use int

const (
	readAll   use = iota
	readLate      // waits, then reads
	closeOnly     // closes after some octets
	leak          // neither reads nor closes until all callers are done
	nest          // makes another call, and reads then
	numUses
)

func newProgram(seed int) *program {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	one := func(n int) bool { return rng.IntN(n) == 0 }
	p := &program{
		seed:        seed,
		latency:     []time.Duration{0, time.Millisecond, 25 * time.Millisecond}[rng.IntN(3)],
		buffer:      []int{500, 4 << 10, 64 << 10}[rng.IntN(3)],
		maxRead:     []int{0, 0, 50}[rng.IntN(3)],
		maxWrite:    []int{0, 0, 0, 300}[rng.IntN(4)],
		dropOnReset: one(3),
		sockets:     seed%2 == 0,
		secure:      one(15),
		maxConns:    []int{0, 1, 1, 2, 6}[rng.IntN(5)],
		maxIdle:     []int{0, 0, 1, 10}[rng.IntN(4)],
		depth:       []int{0, 0, 0, 1, 2, 5}[rng.IntN(6)],
		noKeepAlive: one(20),
		mean:        one(4),
		patient:     !one(3),
		uploads:     one(4),
	}
	if one(5) {
		p.refused, p.refusals = 1+rng.IntN(4), 1+rng.IntN(3)
	}
	if one(12) {
		p.crash = time.Duration(1 + rng.Int64N(int64(200*time.Millisecond)))
	}
	if one(4) {
		p.idleTime = time.Duration(1 + rng.Int64N(int64(100*time.Millisecond)))
	}
	p.patient = p.patient && p.maxConns > 0
	if p.surplus = p.mean && !p.secure && one(2); p.surplus {
		// It must be there before the next request: an answer that comes later, or
		// behind others, cannot be told from one that was asked for.
		p.depth, p.buffer, p.maxWrite = 1, 1<<20, 0
	}
	harsh := one(3)
	for range 1 + rng.IntN(3) {
		p.behaviours = append(p.behaviours, randomBehaviour(rng, harsh))
	}
	for i := range 1 + rng.IntN(12) {
		var actions []action
		for j := range 1 + rng.IntN(6) {
			actions = append(actions, p.randomAction(rng, fmt.Sprintf("/%d-%d-%d", seed, i, j), 2))
		}
		p.callers = append(p.callers, actions)
	}
	return p
}

func randomBehaviour(rng *rand.Rand, harsh bool) (b pipetest.Behaviour) {
	if harsh {
		b.Ending = pipetest.Ending(rng.IntN(pipetest.NumEndings))
	}
	if rng.IntN(2) == 0 {
		b.Pipelining = pipetest.Pipelining(rng.IntN(pipetest.NumPipelinings))
	}
	if rng.IntN(3) == 0 {
		b.CloseAfter = []int{1, 2, 5, 20}[rng.IntN(4)]
		b.Announce = rng.IntN(2) == 0
	}
	return b
}

func (p *program) randomAction(rng *rand.Rand, target string, nesting int) action {
	one := func(n int) bool { return rng.IntN(n) == 0 }
	short := func() time.Duration { return time.Duration(rng.Int64N(int64(100 * time.Millisecond))) }
	a := action{method: "GET", target: target, use: use(rng.IntN(int(numUses)))}
	if one(3) {
		a.use = readAll
	}
	if p.patient && (a.use == leak || a.use == nest) {
		a.use = readLate
	}
	switch rng.IntN(8) {
	case 0:
		a.method = "HEAD"
	case 1:
		a.method = "POST"
	case 2:
		a.method = "PUT"
	}
	if a.method == "POST" || a.method == "PUT" {
		a.upload = pipetest.Content("upload of "+target, rng.IntN(5000))
		if one(3) {
			a.uploadPace = short() / 4
		}
	}
	a.answer = p.randomAnswer(rng, target)
	if one(3) {
		a.pause = short()
	}
	if one(8) {
		a.cancel = 1 + short()
	}
	if one(2) {
		a.partly = rng.IntN(2000)
	}
	a.wait = 20 * short()
	if a.use == nest {
		if nesting == 0 {
			a.use = readAll
		} else {
			inner := p.randomAction(rng, target+"n", nesting-1)
			a.nested = &inner
		}
	}
	return a
}

func (p *program) randomAnswer(rng *rand.Rand, target string) pipetest.Answer {
	one := func(n int) bool { return rng.IntN(n) == 0 }
	a := pipetest.Answer{
		Header:  http.Header{"X-Target": {target}},
		Size:    []int{0, 5, 300, 300, 6000, 6000, 70_000}[rng.IntN(7)],
		Chunked: one(4),
	}
	if one(150) && p.maxRead == 0 && p.maxWrite == 0 && p.buffer > 500 {
		a.Size = largeContent
	}
	if one(3) {
		a.Delay = time.Duration(rng.Int64N(int64(50 * time.Millisecond)))
	}
	if one(20) {
		a.Delay = 2 * time.Second
	}
	if one(5) && a.Size < largeContent {
		a.Piece = 1000
		a.Pace = time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
	}
	switch rng.IntN(30) {
	case 0:
		a.Close = true
	case 1:
		a.HTTP10 = true
	case 2:
		a.UntilClose = true
	case 3:
		a.Status = 404
	case 4:
		a.Status = 204
	case 5:
		a.Interims = []int{103, 103}
	case 6:
		a.Trailer = http.Header{"X-End": {"yes"}}
	}
	if p.mean && one(10) && a.Size > 0 && !a.UntilClose && !a.HTTP10 {
		a.Truncate, a.TruncateAt = true, rng.IntN(a.Size)
	}
	if p.surplus && one(3) && !a.UntilClose && !a.Truncate && a.Piece == 0 && a.Size < largeContent {
		a.Surplus = surplusOf(target)
	}
	return a
}

// largeContent is more than may lie in memory for one call: see run.checkMemory.
const largeContent = 3 << 20

// surplusOf is an answer to nobody, sent behind the one to target.
func surplusOf(target string) string {
	return reply(200, "surplus", "X-Target: surplus of "+target)
}

// actions calls f for all actions.
func (p *program) actions(f func(*action)) {
	for _, actions := range p.callers {
		for i := range actions {
			for a := &actions[i]; a != nil; a = a.nested {
				f(a)
			}
		}
	}
}

// hasten divides all times by n.
func (p *program) hasten(n time.Duration) {
	p.crash /= n
	p.actions(func(a *action) {
		for _, d := range []*time.Duration{&a.uploadPace, &a.pause, &a.wait, &a.answer.Delay, &a.answer.Pace} {
			*d /= n
		}
		if a.cancel > 0 {
			a.cancel = 1 + a.cancel/n
		}
	})
}

// mayHang reports whether callers can wait for each other with net/http: when those
// that hold a response, for ever or until another call is done, can have all of the
// connections that there may be.
func (p *program) mayHang() bool {
	held := 0
	p.actions(func(a *action) {
		if a.use == leak || a.use == nest {
			held++
		}
	})
	return p.maxConns > 0 && held >= p.maxConns
}

// spins reports whether net/http may send requests again without end: an origin that ends
// each connection after one answer, and does not say so, leaves idle ones that are of no use.
// Of seed 835528080 some calls are not answered in ten minutes, and 30,000 dials.
func (p *program) spins() bool {
	return slices.ContainsFunc(p.behaviours, func(b pipetest.Behaviour) bool { return b.CloseAfter == 1 && !b.Announce })
}

func (p *program) piped() func(pipetest.DialFunc) http.RoundTripper {
	return piped(func(tr *httppipe.Transport) {
		tr.MaxConnsPerHost, tr.MaxIdleConnsPerHost = p.maxConns, p.maxIdle
		tr.MaxPipelineDepth, tr.PipelineUploads = p.depth, p.uploads
		tr.DisableKeepAlives = p.noKeepAlive
		tr.IdleConnTimeout = p.idleTime
	})
}

func (p *program) netHTTP() func(pipetest.DialFunc) http.RoundTripper {
	return netHTTP(func(tr *http.Transport) {
		tr.MaxConnsPerHost, tr.MaxIdleConnsPerHost = p.maxConns, p.maxIdle
		tr.DisableKeepAlives = p.noKeepAlive
		tr.IdleConnTimeout = p.idleTime
	})
}

// options are those of the network in memory.
func (p *program) options() []memnet.Option {
	opts := []memnet.Option{
		memnet.Latency(p.latency), memnet.Buffer(p.buffer), memnet.MaxRead(p.maxRead), memnet.MaxWrite(p.maxWrite),
	}
	if p.sockets {
		opts = append(opts, memnet.Sockets())
	}
	if p.dropOnReset {
		opts = append(opts, memnet.DropOnReset())
	}
	if p.surplus {
		opts = append(opts, memnet.LogReads())
	}
	return opts
}

func (p *program) server() *pipetest.Server {
	answers := map[string]pipetest.Answer{}
	p.actions(func(a *action) { answers[a.target] = a.answer })
	server := &pipetest.Server{
		Handler: func(x *pipetest.Exchange) pipetest.Answer { return answers[x.Request.RequestURI] },
		Plan:    func(i int) pipetest.Behaviour { return p.behaviours[i%len(p.behaviours)] },
	}
	if p.secure {
		_, server.TLS = pipetest.TLSConfigs()
	}
	return server
}

func (p *program) String() string {
	var s strings.Builder
	fieldsOf(&s, *p, "callers")
	s.WriteByte('\n')
	p.actions(func(a *action) {
		fmt.Fprintf(&s, "%s %s", a.method, a.target)
		fieldsOf(&s, *a, "method", "target", "nested", "answer")
		fieldsOf(&s, a.answer, "Header")
		s.WriteByte('\n')
	})
	return s.String()
}

// fieldsOf writes the fields of a struct that are not zero.
func fieldsOf(w io.Writer, v any, except ...string) {
	rv := reflect.ValueOf(v)
	for i := range rv.NumField() {
		name, field := rv.Type().Field(i).Name, rv.Field(i)
		switch {
		case field.IsZero() || slices.Contains(except, name):
		case field.Kind() == reflect.Slice && field.Len() > 20:
			fmt.Fprintf(w, " %s=%d octets", name, field.Len())
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			fmt.Fprintf(w, " %s=%+v", name, field)
		default:
			fmt.Fprintf(w, " %s=%q", name, fmt.Sprint(field))
		}
	}
}
