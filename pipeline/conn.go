package pipeline

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/httppipe/httppipe/wire"
)

// Options configure a [Conn] or [Driver]. The zero value is ready to use.
type Options struct {
	// Host is the Host field of requests that name none.
	Host string

	// Limits bound what a response head may occupy; zero values mean wire's
	// defaults.
	Limits wire.Limits

	// Timeout is the longest time that a blocking call of a Conn waits without an
	// octet moving. Zero means no limit. It is not used by a Driver.
	Timeout time.Duration

	// Memory, if not nil, bounds the contents that a Driver holds together with
	// others, and is used by them in turn. It is not used by a Conn.
	Memory *Memory

	// Trace, if not nil, is written all octets sent and received, a line for each
	// system call: a direction, "> " or "< ", and the octets quoted as by %q. Its
	// writes may come from two goroutines at once.
	Trace io.Writer

	// Interim, if not nil, is told of interim (1xx) responses other than the 100
	// that a request with ExpectContinue waits for. It is called on the goroutine
	// that reads, and must not use the Conn.
	Interim func(*Response)
}

// A Conn is one pipelined HTTP/1.1 connection.
//
// It is used by one goroutine, which sends by cofunctions and reads when they
// suspend, or by two, one of which sends with the blocking calls (SendRequest,
// Write) while the other receives. Sends must not overlap each other, nor
// receives each other. Close, Pending and SkipContinue may be called at any time.
type Conn struct {
	nc   net.Conn
	link link
	opts Options
	via  proxied

	// Not used by a Driver, which has its own order.
	sendHalf    half
	receiveHalf half
	writeFailed func(error) // a Driver's, for what a reader is told; or nil
	readsAlone  atomic.Bool // a receiver waits that could not take the sending half

	// Owned by the receiving half.
	rcv receiver

	// Owned by the sending half.
	out []byte // octets being handed over: out[off:]
	off int

	mu       sync.Mutex // guards following; never held during I/O
	send     sendState
	receive  receiveState
	inflight queue     // oldest first; response order (RFC 9112, Section 9.3.2)
	next     []byte    // serialised octets, to be handed over after out
	queued   int64     // octets serialised, ever: the place in the stream behind next
	sending  *exchange // whose content is being sent, or held
	owed     int64     // content octets announced and not yet taken, or owedChunks, owedRaw
	trailer  http.Header
	lastSaid bool  // nothing more is sent: an answer or a request said close; see sayLast
	closing  bool  // the current response is the last one
	cut      bool  // the Conn failed with content of the current response left
	sendErr  error // why nothing can be written any more; reading goes on
	err      error // why the Conn is unusable; set once
	closed   bool

	// full says that nothing more may be begun: c.send is sendClosed, or lastSaid. It is
	// written with mu held, and may be read without.
	full atomic.Bool
}

// NewConn returns a Conn that speaks HTTP/1.1 over nc, which it owns from now
// on. opts may be nil. Over TLS, nc is best made by [TLSClient].
func NewConn(nc net.Conn, opts *Options) *Conn {
	c := new(Conn)
	c.sendHalf.init()
	c.receiveHalf.init()
	c.init(nc, opts)
	return c
}

func (c *Conn) init(nc net.Conn, opts *Options) {
	c.nc = nc
	c.link = newLink(nc)
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Trace != nil {
		c.link = &traceLink{link: c.link, w: c.opts.Trace}
	}
}

// NetConn returns the connection that the Conn was made with. To read from it or
// write to it breaks the Conn.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the connection. Blocked calls return an error. It never blocks.
func (c *Conn) Close() error {
	c.fail(&ConnectionError{Err: net.ErrClosed})
	return nil
}

// fail makes the Conn unusable because of err, unless it already is, and closes
// the connection.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	first := !c.closed
	c.failLocked(err)
	c.mu.Unlock()
	if first {
		c.link.close()
	}
}

func (c *Conn) failLocked(err error) {
	c.closed = true
	if c.err == nil {
		c.err = err
	}
	if c.send != sendClosed {
		c.setSend(sendClosed)
	}
	if c.receive != receiveClosed {
		c.cut = c.receive == receiveContent
		c.setReceive(receiveClosed)
	}
}

// failSend remembers that writing has failed. Responses already on their way
// are still read.
func (c *Conn) failSend(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sendErr == nil {
		c.sendErr = &ConnectionError{Err: err}
	}
	if c.send != sendClosed {
		c.setSend(sendClosed)
	}
	return c.sendErr
}

// hasFailedToSend reports whether writing has failed.
func (c *Conn) hasFailedToSend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendErr != nil
}

// failed says why the Conn is unusable, if it is.
func (c *Conn) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// sendFailed says why nothing can be sent any more; c.mu is held.
func (c *Conn) sendFailed() error {
	switch {
	case c.err != nil:
		return c.err
	case c.sendErr != nil:
		return c.sendErr
	case c.send == sendClosed:
		return &ConnectionError{Err: net.ErrClosed}
	}
	return nil
}

// Pending reports whether answers are outstanding: requests whose sending has
// begun and whose response has not been read to its end.
func (c *Conn) Pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inflight.len() > 0
}
