package pipetest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
)

// An Option changes the network between an Origin and its clients. The
// default is plain HTTP over a [memnet.Network].
type Option func(*setup)

type setup struct {
	tls     bool
	tcp     bool
	memnet  []memnet.Option
	network *memnet.Network
	addr    string
}

// TLS has the Origin speak TLS, with the certificate of [TLSConfigs].
func TLS() Option { return func(s *setup) { s.tls = true } }

// TCP puts the Origin on loopback. Such a test cannot run inside a bubble.
func TCP() Option { return func(s *setup) { s.tcp = true } }

// Net gives the connections in memory these options.
func Net(opts ...memnet.Option) Option {
	return func(s *setup) { s.memnet = append(s.memnet, opts...) }
}

// At puts the Origin at an address (host:port) of an existing network, so
// that a test can have several.
func At(network *memnet.Network, addr string) Option {
	return func(s *setup) { s.network, s.addr = network, addr }
}

// EachNetwork runs script as three subtests: in a bubble over plain HTTP and
// over TLS, and outside a bubble over TCP. The script passes opts to [New].
func EachNetwork(t *testing.T, script func(t *testing.T, opts ...Option)) {
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { script(t) })
	})
	t.Run("tls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { script(t, TLS()) })
	})
	t.Run("tcp", func(t *testing.T) { script(t, TCP()) })
}

// An Origin is a server played by the test. It accepts connections and reads
// requests by itself, but sends only what the test tells it to.
//
// Its methods are for the goroutine of the test. Failed wants end the test.
type Origin struct {
	// Network is what the Origin listens on; nil over TCP.
	Network *memnet.Network

	t       testing.TB
	settler settler
	setup   setup
	ln      net.Listener
	tls     *tls.Config // nil for plain HTTP

	mu       sync.Mutex // guards the rest, and what its Conns received
	conns    []*Conn    // in order of acceptance
	requests []*request // in order of arrival on any connection
}

// NewOrigin starts an Origin that ends with the test.
func NewOrigin(t testing.TB, opts ...Option) *Origin {
	t.Helper()
	o := &Origin{t: t, settler: newSettler()}
	for _, opt := range opts {
		opt(&o.setup)
	}
	if o.setup.tls {
		_, o.tls = TLSConfigs()
	}
	o.listen()
	go o.accept()
	t.Cleanup(o.close)
	return o
}

func (o *Origin) listen() {
	o.t.Helper()
	var err error
	if o.setup.tcp {
		o.ln, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(o.t, err)
		return
	}
	o.Network = o.setup.network
	if o.Network == nil {
		o.Network = memnet.New(append([]memnet.Option{memnet.LogWrites()}, o.setup.memnet...)...)
	}
	o.ln, err = o.Network.Listen(o.Addr())
	require.NoError(o.t, err)
}

// Addr is the host:port that clients dial.
func (o *Origin) Addr() string {
	switch {
	case o.setup.addr != "":
		return o.setup.addr
	case o.setup.tcp:
		return o.ln.Addr().String()
	case o.setup.tls:
		return Host + ":443"
	}
	return Host + ":80"
}

// URL is the address of the Origin's root, without a slash at its end.
func (o *Origin) URL() string {
	if o.setup.tls {
		return "https://" + strings.TrimSuffix(o.Addr(), ":443")
	}
	return "http://" + strings.TrimSuffix(o.Addr(), ":80")
}

// DialContext connects as a client does. It does not speak TLS.
func (o *Origin) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if o.Network != nil {
		return o.Network.DialContext(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (o *Origin) accept() {
	for {
		nc, err := o.ln.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		c := newConn(o, len(o.conns), nc)
		o.conns = append(o.conns, c)
		o.mu.Unlock()
		go c.receive()
		go c.transmit()
	}
}

func (o *Origin) close() {
	o.ln.Close()
	for _, c := range o.accepted() {
		c.shutDown()
	}
}

func (o *Origin) accepted() []*Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.conns)
}

// Conn returns the i-th accepted connection, counted from 0.
func (o *Origin) Conn(i int) *Conn {
	o.t.Helper()
	o.want(func() string {
		if n := len(o.accepted()); i >= n {
			return fmt.Sprintf("there are %d connections, want one more than %d", n, i)
		}
		return ""
	})
	return o.accepted()[i]
}

// only returns the one connection that is open.
func (o *Origin) only() *Conn {
	o.t.Helper()
	var open []*Conn
	o.want(func() string {
		open = slices.DeleteFunc(o.accepted(), (*Conn).isEnded)
		if len(open) != 1 {
			return fmt.Sprintf("there are %d open connections, want 1: say which one by Conn(i)", len(open))
		}
		return ""
	})
	return open[0]
}

// Send sends octets on the only open connection; see [Conn.Send].
func (o *Origin) Send(octets string) {
	o.t.Helper()
	o.only().Send(octets)
}

// WantConns wants n connections to have been accepted so far.
func (o *Origin) WantConns(n int) {
	o.t.Helper()
	complaint := func() string {
		if got := len(o.accepted()); got != n {
			return fmt.Sprintf("%d connections were accepted, want %d", got, n)
		}
		return ""
	}
	o.want(complaint)
	o.wantStill(complaint)
}

// WantOpen wants n connections to be open: closed by neither side.
func (o *Origin) WantOpen(n int) {
	o.t.Helper()
	o.want(func() string {
		open := slices.DeleteFunc(o.accepted(), (*Conn).isEnded)
		if len(open) != n {
			return fmt.Sprintf("%d connections are open, want %d", len(open), n)
		}
		return ""
	})
}

// WantRequests wants the heads of exactly these requests, such as "GET /a",
// to have arrived since requests were last wanted, on any connection. The
// order is that of arrival; between connections it is no more certain than
// the order in which the client sends.
func (o *Origin) WantRequests(want ...string) {
	o.t.Helper()
	o.wantRequests(func(*request) bool { return true }, want)
}

// WantNoRequest wants nothing to have arrived since requests were last wanted.
func (o *Origin) WantNoRequest() {
	o.t.Helper()
	o.wantRequests(func(*request) bool { return true }, nil)
}

// wantRequests compares those of the new requests that mine selects.
func (o *Origin) wantRequests(mine func(*request) bool, want []string) {
	o.t.Helper()
	complaint := func() string {
		if got := o.newRequests(mine, false); !slices.Equal(got, want) {
			return fmt.Sprintf("new requests are %q, want %q%s", got, want, o.troubles())
		}
		return ""
	}
	o.want(complaint)
	if len(want) == 0 {
		o.wantStill(complaint)
	}
	o.newRequests(mine, true)
}

// newRequests lists the selected requests not wanted yet, and may mark them.
func (o *Origin) newRequests(mine func(*request) bool, mark bool) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for _, r := range o.requests {
		if !r.wanted && mine(r) {
			lines = append(lines, r.Method+" "+r.Target)
			r.wanted = r.wanted || mark
		}
	}
	return lines
}

// troubles describes connections that did not end between two requests.
func (o *Origin) troubles() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, c := range o.conns {
		if c.err != nil {
			fmt.Fprintf(&b, "\nconnection %d: %v", c.index, c.err)
		}
	}
	return b.String()
}

// Requests returns what has arrived so far, in order of arrival.
func (o *Origin) Requests() []Received {
	o.t.Helper()
	o.settler.still(func() string { return "" })
	return o.received(func(*request) bool { return true })
}

func (o *Origin) received(mine func(*request) bool) []Received {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Received
	for _, r := range o.requests {
		if mine(r) {
			all = append(all, r.snapshot())
		}
	}
	return all
}

func (o *Origin) want(complaint func() string) {
	o.t.Helper()
	if c := o.settler.eventually(complaint); c != "" {
		o.t.Fatal(c)
	}
}

func (o *Origin) wantStill(complaint func() string) {
	o.t.Helper()
	if c := o.settler.still(complaint); c != "" {
		o.t.Fatal(c)
	}
}
