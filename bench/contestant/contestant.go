// Package contestant holds the HTTP clients that the bench compares. Each
// registers itself by name; the load generator asks for one [Worker] per
// concurrent caller.
//
// An [net/http.RoundTripper] needs one call:
//
//	func init() {
//		register("mine", func(cfg Config) (Contestant, error) {
//			return roundTripper(&mine.Transport{DialContext: cfg.Dial}, cfg), nil
//		})
//	}
//
// Beside real clients there are measuring devices, "limit-rt", "limit-rt-lf" and
// "rawpump". They do the least that is possible at all and so show where the
// floor is. They are no clients: a malformed response, a cancelled call or a
// closed connection is beyond them.
package contestant

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Config says what a contestant is given. Use [NewConfig] to make one.
type Config struct {
	Addr        string // host:port to connect to
	TLS         bool   // speak TLS to it, without verifying its certificate
	Conns       int    // most connections allowed; 0: as many as it likes
	Concurrency int    // callers in flight at once
	Mode        Mode   // of RoundTripper contestants

	dialed *atomic.Int64
}

// NewConfig returns cfg with its counter of connections.
func NewConfig(cfg Config) Config {
	cfg.dialed = new(atomic.Int64)
	return cfg
}

// Mode says how callers use an http.RoundTripper.
type Mode string

const (
	// Reuse calls RoundTrip with the same *http.Request again and again, which
	// is allowed once the body is closed: the transport's own cost, no more.
	Reuse Mode = "reuse"
	// Client is what applications do: http.Client, a new request, a context
	// that can be cancelled.
	Client Mode = "client"
	// Timeout is Client with http.Client.Timeout instead of that context.
	Timeout Mode = "timeout"
)

// Modes lists them all.
var Modes = []Mode{Reuse, Client, Timeout}

// Dialed is the number of connections opened so far.
func (c Config) Dialed() int64 { return c.dialed.Load() }

// Dial counts and opens a TCP connection to Addr, whatever address it is asked
// for. The result is a bare *net.TCPConn, so that sendfile stays possible.
func (c Config) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.dialed.Add(1)
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", c.Addr)
}

// dialDevice is Dial for the measuring devices, which leave TLS to us.
func (c Config) dialDevice() (net.Conn, error) {
	nc, err := c.Dial(context.Background(), "", "")
	if err != nil || !c.TLS {
		return nc, err
	}
	return tls.Client(nc, c.tlsConfig()), nil
}

// tlsConfig is for certificates that cmd/origin made up on the spot. Verifying
// them would be part of the handshake, which is not what the bench measures.
func (c Config) tlsConfig() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func (c Config) base() string {
	if c.TLS {
		return "https://" + c.Addr
	}
	return "http://" + c.Addr
}

// Op is one kind of request. Workers may compare pointers to see that it is the
// same as before, so it must not change.
type Op struct {
	Method    string // empty: PUT with content, otherwise GET
	Path      string
	Want      int64                     // octets of content expected in the response
	Upload    func() (io.Reader, error) // opens the content; nil: none
	UploadLen int64                     // octets of it
	Mem       []byte                    // the content, where it is in memory
}

func (op *Op) method() string {
	switch {
	case op.Method != "":
		return op.Method
	case op.Upload != nil:
		return http.MethodPut
	}
	return http.MethodGet
}

// A Worker is one caller. Do sends op, reads the whole content of the response,
// and returns nil only if it was a 200 of the expected length. Calls of Do must
// not overlap.
type Worker interface{ Do(op *Op) error }

// A Contestant is one HTTP client, set up for one origin.
type Contestant interface{ NewWorker() Worker }

// A Pumper is a contestant without callers: it keeps Config.Concurrency
// requests in flight by itself until stop is set. Each of its goroutines asks
// newDone for a function of its own, and calls that with the number of responses
// finished and the time at which their requests were sent.
type Pumper interface {
	Pump(op *Op, stop *atomic.Bool, newDone func() func(n int, sent time.Time)) error
}

// A Repeater counts the requests that it sent again, of itself: to a server these
// are more requests.
type Repeater interface{ Repeated() int64 }

var contestants = map[string]func(Config) (Contestant, error){}

func register(name string, make func(Config) (Contestant, error)) { contestants[name] = make }

// New returns the contestant of that name.
func New(name string, cfg Config) (Contestant, error) {
	if contestants[name] == nil {
		return nil, fmt.Errorf("no contestant %q (there are %s)", name, strings.Join(Names(), ", "))
	}
	return contestants[name](cfg)
}

// Names lists the contestants, sorted.
func Names() []string { return slices.Sorted(maps.Keys(contestants)) }

var errStatus = errors.New("status is not 200")

func checkLength(op *Op, n int64) error {
	if n != op.Want {
		return fmt.Errorf("%s: %d octets of content, want %d", op.Path, n, op.Want)
	}
	return nil
}

// CopyOnly hides everything of a file but Read and Close, so that no client can
// send it without copying it through its own memory.
type CopyOnly struct{ F *os.File }

func (c CopyOnly) Read(p []byte) (int, error) { return c.F.Read(p) }
func (c CopyOnly) Close() error               { return c.F.Close() }
