package httppipe_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// The model test runs random programs against random servers. It wants of each:
//
//   - Everybody gets the octets of their own answer, or an error.
//   - There is no error without a reason: see trouble.
//   - No call hangs that could not hang with net/http: see mayHang.
//   - No POST is received twice.
//   - At the end nothing is left.
//
// Surplus octets are not among what the servers do: whether they are there before the
// next request is written is a matter of nanoseconds here. integrity_test.go has them.
//
// The seed decides the program and the server. The order in which goroutines run
// is not decided by it, so that a failure may need several runs to come back.
//
// HTTPPIPE_MODEL_SEEDS is how many seeds to run, and HTTPPIPE_MODEL_FIRST the
// first of them.
func TestModel(t *testing.T) {
	log.SetOutput(io.Discard) // net/http says there what it finds on idle connections
	defer log.SetOutput(os.Stderr)
	first, seeds := environment(t, "HTTPPIPE_MODEL_FIRST", 1), environment(t, "HTTPPIPE_MODEL_SEEDS", 150)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			p := newProgram(seed)
			hangs := p.run(t, p.piped())
			if len(hangs) > 0 && !p.mayHang() {
				t.Errorf("these calls hang: %v\n%v", hangs, p)
			}
			if seed%10 == 0 && !p.mayHang() {
				require.Empty(t, p.run(t, p.netHTTP()), "calls that hang with net/http\n%v", p)
			}
		})
	}
}

func environment(t *testing.T, name string, otherwise int) int {
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	require.NoError(t, err, name)
	return n
}

// A program is what callers do, and what the server does to them.
type program struct {
	seed    int
	callers [][]action

	latency     time.Duration
	buffer      int
	maxRead     int
	refused     int // this dial is refused; 0: none
	behaviours  []pipetest.Behaviour
	mean        bool // answers are truncated
	maxConns    int
	maxIdle     int
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
		maxConns:    []int{0, 1, 1, 2, 6}[rng.IntN(5)],
		maxIdle:     []int{0, 0, 1, 10}[rng.IntN(4)],
		depth:       []int{0, 0, 0, 1, 2, 5}[rng.IntN(6)],
		noKeepAlive: one(20),
		mean:        one(4),
	}
	if one(5) {
		p.refused = 1 + rng.IntN(4)
	}
	p.patient = p.maxConns > 0 && !one(3)
	p.uploads = !p.mean && one(4)
	harsh := one(3)
	for range 1 + rng.IntN(3) {
		p.behaviours = append(p.behaviours, randomBehaviour(rng, harsh))
	}
	for _, b := range p.behaviours {
		if b.Pipelining != pipetest.InOrder {
			p.maxRead = 0     // it sees two requests that come together, each time
			p.uploads = false // which is a promise that it does not behave so
		}
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
	a.answer = p.randomAnswer(rng)
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

func (p *program) randomAnswer(rng *rand.Rand) pipetest.Answer {
	one := func(n int) bool { return rng.IntN(n) == 0 }
	a := pipetest.Answer{
		Size:    []int{0, 5, 300, 300, 6000, 6000, 70_000}[rng.IntN(7)],
		Chunked: one(4),
	}
	if one(3) {
		a.Delay = time.Duration(rng.Int64N(int64(50 * time.Millisecond)))
	}
	if one(20) {
		a.Delay = 2 * time.Second
	}
	if one(5) {
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
	return a
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

func (p *program) piped() func(pipetest.DialFunc) http.RoundTripper {
	return piped(func(tr *httppipe.Transport) {
		tr.MaxConnsPerHost, tr.MaxIdleConnsPerHost = p.maxConns, p.maxIdle
		tr.MaxPipelineDepth, tr.PipelineUploads = p.depth, p.uploads
		tr.DisableKeepAlives = p.noKeepAlive
	})
}

func (p *program) netHTTP() func(pipetest.DialFunc) http.RoundTripper {
	return func(dial pipetest.DialFunc) http.RoundTripper {
		return &http.Transport{
			DialContext:     dial,
			MaxConnsPerHost: p.maxConns, MaxIdleConnsPerHost: p.maxIdle,
			DisableKeepAlives: p.noKeepAlive,
		}
	}
}

// A run is one execution of a program.
type run struct {
	*program
	t    *testing.T
	w    *world
	done chan struct{} // closed when all callers are

	mu     sync.Mutex
	hangs  []string // targets of calls that did not end
	bodies []*slowBody
}

// patienceOfCallers is after what time, which is virtual, a call counts as hanging.
const patienceOfCallers = 10 * time.Minute

// run returns the targets of calls that hang.
func (p *program) run(t *testing.T, newTransport func(pipetest.DialFunc) http.RoundTripper) (hangs []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p.server(), newTransport, memnet.Latency(p.latency), memnet.Buffer(p.buffer), memnet.MaxRead(p.maxRead))
		if p.refused > 0 {
			w.net.FailDial(p.refused, errRefused)
		}
		r := &run{program: p, t: t, w: w, done: make(chan struct{})}
		var callers sync.WaitGroup
		for _, actions := range p.callers {
			callers.Go(func() {
				for i := range actions {
					r.do(&actions[i])
				}
			})
		}
		callers.Wait()
		close(r.done)
		synctest.Wait()
		r.checkServer()
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

var errRefused = errors.New("refused by the test")

func (p *program) server() *pipetest.Server {
	answers := map[string]pipetest.Answer{}
	p.actions(func(a *action) { answers[a.target] = a.answer })
	return &pipetest.Server{
		Handler: func(x *pipetest.Exchange) pipetest.Answer { return answers[x.Request.RequestURI] },
		Plan:    func(i int) pipetest.Behaviour { return p.behaviours[i%len(p.behaviours)] },
	}
}

// do makes a call and looks at what it brings.
func (r *run) do(a *action) {
	time.Sleep(a.pause)
	ctx, cancel := context.WithTimeoutCause(context.Background(), patienceOfCallers, errTookTooLong)
	defer cancel()
	if a.cancel > 0 {
		var cancelIn context.CancelFunc
		ctx, cancelIn = context.WithTimeoutCause(ctx, a.cancel, errGaveUp)
		defer cancelIn()
	}
	req, err := http.NewRequestWithContext(ctx, a.method, worldURL+a.target, nil)
	require.NoError(r.t, err)
	if len(a.upload) > 0 {
		req.Body, req.ContentLength = r.newSlowBody(a), int64(len(a.upload))
		req.GetBody = func() (io.ReadCloser, error) { return r.newSlowBody(a), nil }
	}
	resp, err := r.w.rt.RoundTrip(req)
	if err != nil {
		r.failed(a, err)
		return
	}
	r.read(a, resp)
}

var errGaveUp = errors.New("the caller gave up")

// read does with the response what the action says.
func (r *run) read(a *action, resp *http.Response) {
	got := make([]byte, a.partly)
	n, err := io.ReadFull(resp.Body, got)
	got = got[:n]
	if !r.check(a, resp, got, err) || err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		resp.Body.Close()
		return
	}
	switch a.use {
	case readLate:
		time.Sleep(a.wait)
	case closeOnly:
		resp.Body.Close()
		return
	case leak:
		go func() {
			<-r.done
			resp.Body.Close()
		}()
		return
	case nest:
		r.do(a.nested)
	}
	rest, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	r.checkAll(a, resp, append(got, rest...), err)
}

// want is the whole content of the answer to a.
func (a *action) want() []byte {
	if a.method == "HEAD" || a.answer.Status == 204 {
		return nil
	}
	return pipetest.Content(a.target, a.answer.Size)
}

// check looks at the beginning of the content.
func (r *run) check(a *action, resp *http.Response, got []byte, err error) bool {
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
		r.check(a, resp, got, err)
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
		r.mu.Lock()
		r.hangs = append(r.hangs, a.target)
		r.mu.Unlock()
	case errors.Is(err, errGaveUp) && a.cancel > 0:
	case errors.Is(err, errRefused) && r.refused > 0:
	case r.trouble(a):
	default:
		r.t.Errorf("%s %s: %v (%T)", a.method, a.target, err, err)
	}
}

// trouble reports whether something may happen to a that is not to be hidden.
func (r *run) trouble(a *action) bool {
	if a.answer.Truncate || a.method == "POST" || a.method == "PUT" || r.w.tr == nil {
		return true
	}
	for _, b := range r.behaviours {
		if b.Ending != pipetest.EndLinger {
			return true // a reset can destroy an answer that has begun
		}
	}
	return false
}

// checkServer looks at what was received.
func (r *run) checkServer() {
	uploads := map[string][]byte{}
	r.actions(func(a *action) { uploads[a.target] = a.upload })
	for _, e := range r.w.server.Record() {
		if e.Complete && e.Sum != sha256.Sum256(uploads[e.Target]) {
			r.t.Errorf("%s %s: wrong content of %d octets received", e.Method, e.Target, e.Octets)
		}
	}
	methods := []string{"POST"}
	if !r.uploads {
		methods = append(methods, "PUT")
	}
	if repeated := r.w.server.Repeated(methods...); len(repeated) > 0 {
		r.t.Errorf("received twice: %v", repeated)
	}
	for _, err := range r.w.server.Malformed() {
		if !cutShort.MatchString(err.Error()) {
			r.t.Errorf("malformed request: %v", err)
		}
	}
}

// cutShort matches the complaint about a connection that ends in a request line.
var cutShort = regexp.MustCompile(`^malformed HTTP request "[A-Z]+( /[-0-9n]*( [HTP/1.]*)?)?"$`)

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

// checkBodies wants every request body to have been closed once.
func (r *run) checkBodies() {
	if r.w.tr == nil {
		return
	}
	for _, b := range r.bodies {
		if b.closed != 1 {
			r.t.Errorf("a request body was closed %d times", b.closed)
		}
	}
}

func (p *program) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "seed %d: latency %v, buffer %d, maxRead %d, refused %d, maxConns %d, maxIdle %d, depth %d, uploads %v, noKeepAlive %v\n",
		p.seed, p.latency, p.buffer, p.maxRead, p.refused, p.maxConns, p.maxIdle, p.depth, p.uploads, p.noKeepAlive)
	fmt.Fprintf(&s, "behaviours %+v\n", p.behaviours)
	p.actions(func(a *action) {
		fmt.Fprintf(&s, "%s %s", a.method, a.target)
		fieldsOf(&s, *a, "method", "target", "nested", "answer")
		fieldsOf(&s, a.answer)
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
		default:
			fmt.Fprintf(w, " %s=%v", name, field)
		}
	}
}
