package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
	"github.com/httppipe/httppipe/wire"
)

var (
	modelSeed = flag.Uint64("modelseed", 0, "the only seed for TestDriverModel")
	modelTime = flag.Duration("modeltime", 0, "how long it takes; at least three seeds")
)

// Many goroutines with random behaviour share connections to an origin with random
// behaviour. Whatever happens: a caller gets its own octets or an error, a request
// that is called unsent was not received, every call leaves once, every body is
// closed once, and no goroutine stays.
func TestDriverModel(t *testing.T) {
	end := time.Now().Add(*modelTime)
	n := 0
	for ; n == 0 || *modelSeed == 0 && (n < 3 || time.Now().Before(end)); n++ {
		seed := cmp.Or(*modelSeed, rand.Uint64()>>1)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			for _, secure := range []bool{false, true} {
				name := map[bool]string{true: " with tls"}[secure]
				t.Run("memory"+name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { runDriverModel(t, seed, false, secure) })
				})
				t.Run("socket"+name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { runDriverModel(t, seed, false, secure, memnet.Sockets()) })
				})
				t.Run("tcp"+name, func(t *testing.T) { runDriverModel(t, seed, true, secure) })
			}
		})
	}
	fmt.Printf("%s: %d seeds\n", t.Name(), n)
}

// A driverModel is the state of one run.
type driverModel struct {
	t      *testing.T
	server *pipetest.Server
	dial   func() net.Conn

	mu      sync.Mutex
	current *Driver
	drivers []*Driver
	calls   []*modelCall
	left    map[*Call]int
	n       int
}

type modelCall struct {
	Call
	accepted bool
	body     *testBody
	err      error // of Await
}

func runDriverModel(t *testing.T, seed uint64, tcp, secure bool, opts ...memnet.Option) {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &driverModel{t: t, left: make(map[*Call]int)}
	m.server = &pipetest.Server{Handler: modelAnswer, Plan: modelPlan(seed)}
	var ln net.Listener
	var err error
	if tcp {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		m.dial = func() net.Conn { nc, _ := net.Dial("tcp", ln.Addr().String()); return nc }
	} else {
		network := memnet.New(append(opts, memnet.Buffer(1<<(10+rng.IntN(8))))...)
		ln, err = network.Listen("model:80")
		m.dial = func() net.Conn { nc, _ := network.DialContext(t.Context(), "tcp", "model:80"); return nc }
	}
	require.NoError(t, err)
	if secure {
		m.secure()
	}
	m.server.Start(t, ln)
	var group sync.WaitGroup
	for i := range 8 {
		worker := rand.New(rand.NewPCG(seed, uint64(i)+100))
		group.Go(func() { m.work(worker, tcp) })
	}
	group.Wait()
	for _, d := range m.drivers {
		d.Close()
	}
	m.server.Close()
	// Until nobody is left, calls may still be told that they have left.
	if tcp {
		pipetest.VerifyNoLeaks(t)
	} else {
		time.Sleep(time.Second) // of the bubble: bodies that sleep return
	}
	m.check()
}

// secure puts TLS over the connections.
func (m *driverModel) secure() {
	config, server := pipetest.TLSConfigs()
	config.ServerName = pipetest.Host
	m.server.TLS = server
	dial := m.dial
	m.dial = func() net.Conn {
		nc := dial()
		tc := TLSClient(nc, config)
		if err := tc.Handshake(); err != nil {
			nc.Close()
			return nil
		}
		return tc
	}
}

// modelAnswer depends on the target alone. It sends nothing unasked: a response
// behind a request already sent cannot be told from its answer by any client.
func modelAnswer(x *pipetest.Exchange) pipetest.Answer {
	h := fnv.New64a()
	io.WriteString(h, x.Request.RequestURI)
	rng := rand.New(rand.NewPCG(h.Sum64(), 0))
	a := pipetest.AnswerContent(x)
	a.Echo = x.Request.Method == "PUT"
	for range rng.IntN(3) * rng.IntN(2) {
		a.Interims = append(a.Interims, 103)
	}
	if rng.IntN(3) == 0 {
		a.Delay = time.Duration(rng.IntN(4)) * time.Millisecond
	}
	if a.Chunked = rng.IntN(3) == 0; a.Chunked && rng.IntN(2) == 0 {
		a.Trailer = http.Header{"T": {"x"}}
	}
	if rng.IntN(3) == 0 {
		a.Piece = 1 + rng.IntN(a.Size+100)
	}
	a.Close = rng.IntN(40) == 0
	a.UntilClose = rng.IntN(60) == 0
	if rng.IntN(60) == 0 && !a.UntilClose && !a.Echo {
		a.Truncate, a.TruncateAt = true, rng.IntN(a.Size+1)
	}
	if rng.IntN(30) == 0 {
		a.Status = http.StatusNoContent
	}
	a.No100 = rng.IntN(2) == 0
	return a
}

func modelPlan(seed uint64) func(int) pipetest.Behaviour {
	return func(i int) (b pipetest.Behaviour) {
		rng := rand.New(rand.NewPCG(seed, uint64(i)+1000))
		b.Ending = pipetest.Ending(rng.IntN(pipetest.NumEndings))
		switch rng.IntN(3) {
		case 0:
			b.CloseAfter = 1 + rng.IntN(20)
			b.Announce = rng.IntN(2) == 0
		case 1:
			b.Pipelining = []pipetest.Pipelining{
				pipetest.CloseOnSecond, pipetest.SilentOnPair, pipetest.FirstOnly, pipetest.FirstThenClose,
			}[rng.IntN(4)]
		}
		return b
	}
}

// driver returns a connection, an old one if there is one to be used.
func (m *driverModel) driver(fresh bool) *Driver {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current != nil && m.current.Usable() && !fresh {
		return m.current
	}
	nc := m.dial()
	if nc == nil {
		return nil
	}
	m.current = NewDriver(nc, nil, Hooks{Left: m.noteLeft})
	m.drivers = append(m.drivers, m.current)
	return m.current
}

func (m *driverModel) noteLeft(call *Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[call]++
}

// newCall makes a random call.
func (m *driverModel) newCall(rng *rand.Rand) (call *modelCall, want []byte) {
	m.mu.Lock()
	m.n++
	id := m.n
	call = new(modelCall)
	m.calls = append(m.calls, call)
	m.mu.Unlock()
	size := rng.IntN(1 << rng.IntN(17))
	target := fmt.Sprintf("/%d?n=%d", id, size)
	call.Request = wire.RequestHead{Method: "GET", Target: target, Host: "model"}
	call.Wake = make(chan struct{}, 1)
	call.Interim = rng.IntN(4) == 0
	call.Repeat = Repeat(rng.IntN(int(RepeatNever) + 1))
	if rng.IntN(4) == 0 {
		call.HeadTimeout = time.Duration(1+rng.IntN(100)) * time.Millisecond
	}
	want = pipetest.Content(target, size)
	if rng.IntN(4) > 0 {
		return call, want
	}
	call.Request.Method = "PUT"
	call.Request.Framing = wire.Framing{Kind: wire.Length, Length: int64(size)}
	if rng.IntN(2) == 0 {
		call.Request.Framing = wire.Framing{Kind: wire.Chunked}
	}
	if rng.IntN(2) == 0 {
		call.ContinueTimeout = time.Duration(1+rng.IntN(20)) * time.Millisecond
		call.Request.Extra = http.Header{"Expect": {"100-continue"}}
	}
	if rng.IntN(2) == 0 {
		call.Content = want
		return call, want
	}
	call.body = &testBody{r: &slowReader{bytes.NewReader(want), rng.IntN(size + 1), rng.IntN(3)}}
	call.Body = call.body
	return call, want
}

// A slowReader pauses once.
type slowReader struct {
	r     io.Reader
	after int
	pause int // milliseconds
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.after <= 0 {
		time.Sleep(time.Duration(s.pause) * time.Millisecond)
		s.after = 1 << 30
	}
	n, err := s.r.Read(p[:min(len(p), s.after)])
	s.after -= n
	return n, err
}

// work makes calls, one after the other.
func (m *driverModel) work(rng *rand.Rand, tcp bool) {
	rounds := 60
	if tcp {
		rounds = 25
	}
	for range rounds {
		d := m.driver(rng.IntN(20) == 0)
		if d == nil {
			continue
		}
		call, want := m.newCall(rng)
		call.Prompt = rng.IntN(2) == 0
		if err := d.Submit(&call.Call); err != nil {
			call.err = err
			continue
		}
		call.accepted = true
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		if rng.IntN(6) == 0 {
			time.AfterFunc(time.Duration(rng.IntN(3000))*time.Microsecond, cancel)
		}
		if call.err = m.await(ctx, d, call); call.err == nil {
			m.consume(rng, call, want)
		}
		cancel()
		switch rng.IntN(100) {
		case 0:
			d.Close()
		case 1:
			d.Retire()
		case 2, 3, 4:
			d.Check()
		}
	}
}

func (m *driverModel) await(ctx context.Context, d *Driver, call *modelCall) error {
	for {
		interim, err := d.Await(ctx, &call.Call)
		if err != nil || call.Final {
			return err
		}
		if !call.Interim {
			return fmt.Errorf("told of %d interim responses", len(interim))
		}
	}
}

// consume reads the content, or does what callers should not do.
func (m *driverModel) consume(rng *rand.Rand, call *modelCall, want []byte) {
	if call.Response.StatusCode == http.StatusNoContent {
		want = nil
	}
	switch rng.IntN(10) {
	case 0: // it leaks
		return
	case 1:
		call.Close()
		return
	case 2:
		io.ReadFull(&call.Call, make([]byte, rng.IntN(len(want)+1)))
		call.Close()
		return
	case 3:
		time.Sleep(time.Duration(rng.IntN(2*int(stallWait/time.Millisecond))) * time.Millisecond)
	case 4:
		why := errors.New("closed with error")
		time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, func() { call.CloseWithError(why) })
	}
	got, err := io.ReadAll(&call.Call)
	if err == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(want, got) {
		m.t.Errorf("%s: %d octets that are not its own, want %d (%v)", call.Request.Target, len(got), len(want), err)
	}
}

// check is called when everything has ended.
func (m *driverModel) check() {
	received := make(map[string]bool)
	for _, e := range m.server.Record() {
		received[e.Target] = true
	}
	require.Empty(m.t, m.server.Malformed())
	m.mu.Lock() // for timers that were the last to note something
	defer m.mu.Unlock()
	answered := 0
	for _, call := range m.calls {
		target := call.Request.Target
		var failed *CallError
		if errors.As(call.err, &failed) && failed.Unsent && received[target] {
			m.t.Errorf("%s is said to be unsent and was received: %v", target, call.err)
		}
		if want := map[bool]int{true: 1}[call.accepted]; m.left[&call.Call] != want {
			m.t.Errorf("%s has left %d times, want %d (%v)", target, m.left[&call.Call], want, call.err)
		}
		if call.body != nil && call.body.timesClosed() != 1 {
			m.t.Errorf("the body of %s was closed %d times (%v)", target, call.body.timesClosed(), call.err)
		}
		if call.err == nil {
			answered++
		}
	}
	require.NotZero(m.t, answered)
}

// Sixty-four goroutines share one connection, and each gets its own octets.
func TestManyCallersShareAConnection(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"raw":  func(nc net.Conn) net.Conn { return nc },
		"pump": func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} },
		"tls":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			server := &pipetest.Server{}
			config, serverConfig := pipetest.TLSConfigs()
			if wrap == nil {
				server.TLS = serverConfig
				config.ServerName = pipetest.Host
				wrap = func(nc net.Conn) net.Conn {
					tc := TLSClient(nc, config)
					require.NoError(t, tc.Handshake())
					return tc
				}
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			server.Start(t, ln)
			nc, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			d := NewDriver(wrap(nc), nil, Hooks{})
			defer d.Close()
			var group sync.WaitGroup
			for g := range 64 {
				group.Go(func() { getMany(t, d, g) })
			}
			group.Wait()
			require.Equal(t, 1, server.Conns())
			require.Len(t, server.Record(), 64*30)
		})
	}
}

func getMany(t *testing.T, d *Driver, g int) {
	for i := range 30 {
		call := &Call{Wake: make(chan struct{}, 1), Prompt: i%2 == 0}
		target := fmt.Sprintf("/%d/%d?n=%d", g, i, (g*i*37)%5000)
		call.Request = wire.RequestHead{Method: "GET", Target: target, Host: "x"}
		if err := d.Submit(call); err != nil {
			t.Error(err)
			return
		}
		if _, err := d.Await(t.Context(), call); err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(call)
		if want := pipetest.Content(target, (g*i*37)%5000); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d octets, want %d; %v", target, len(got), len(want), err)
		}
	}
}
