package pipetest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/httppipe/httppipe/internal/memnet"
)

// Received is a request as far as it has arrived.
type Received struct {
	Conn    int // which connection it came on; see [Origin.Conn]
	Method  string
	Target  string // the request target, as sent
	Proto   string
	Host    string
	Header  http.Header // without Host, and without the fields of the framing
	Body    []byte      // content so far
	Trailer http.Header // complete once Done
	Raw     string      // the octets of head and body as sent; "" until Done
	Done    bool        // the content is complete
	Err     error       // why it never will be
}

// A request is a Received in the making. The mutex of the Origin guards it.
type request struct {
	Received
	wanted bool // a WantRequests has asked for it
}

func (r *request) snapshot() Received {
	s := r.Received
	s.Header = r.Header.Clone()
	s.Body = bytes.Clone(r.Body)
	return s
}

// A Conn is the Origin's end of one connection.
type Conn struct {
	origin *Origin
	index  int
	nc     net.Conn // as accepted
	stream net.Conn // nc, or TLS over it

	// The mutex of the Origin guards these.
	raw   []byte // all octets received
	ended bool   // by either side
	err   error  // why receiving ended, if not at the end of a request

	// queue.L guards these.
	queue   sync.Cond // one of them has changed
	toSend  []byte
	sending bool // the transmitting goroutine holds octets
	sendErr error
	paused  bool
	closed  bool
}

func newConn(o *Origin, index int, nc net.Conn) *Conn {
	c := &Conn{origin: o, index: index, nc: nc, stream: nc}
	if o.tls != nil {
		c.stream = tls.Server(nc, o.tls)
	}
	c.queue.L = new(sync.Mutex)
	return c
}

// receive reads requests until the connection ends.
func (c *Conn) receive() {
	br := bufio.NewReader(tap{c})
	for {
		start := c.consumed(br)
		req, err := http.ReadRequest(br)
		if err != nil {
			c.endReceiving(err, c.consumed(br) > start)
			return
		}
		r := c.begin(req)
		err = c.receiveContent(r, req)
		c.finish(r, req, start, c.consumed(br), err)
		if err != nil {
			c.endReceiving(err, true)
			return
		}
	}
}

// A tap reads from a connection and keeps a copy.
type tap struct{ c *Conn }

func (t tap) Read(p []byte) (int, error) {
	n, err := t.c.readUnlessPaused(p)
	t.c.origin.mu.Lock()
	defer t.c.origin.mu.Unlock()
	t.c.raw = append(t.c.raw, p[:n]...)
	return n, err
}

// consumed is how many octets were parsed.
func (c *Conn) consumed(br *bufio.Reader) int {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	return len(c.raw) - br.Buffered()
}

func (c *Conn) begin(req *http.Request) *request {
	r := &request{Received: Received{
		Conn:   c.index,
		Method: req.Method,
		Target: req.RequestURI,
		Proto:  req.Proto,
		Host:   req.Host,
		Header: req.Header,
	}}
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	c.origin.requests = append(c.origin.requests, r)
	return r
}

func (c *Conn) receiveContent(r *request, req *http.Request) error {
	buf := make([]byte, 4096)
	for {
		n, err := req.Body.Read(buf)
		c.origin.mu.Lock()
		r.Body = append(r.Body, buf[:n]...)
		c.origin.mu.Unlock()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) finish(r *request, req *http.Request, start, end int, err error) {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	r.Trailer, r.Err = req.Trailer, err
	if err == nil {
		r.Done, r.Raw = true, string(c.raw[start:end])
	}
}

// endReceiving notes why no more requests come. An end between two requests
// is no error.
func (c *Conn) endReceiving(err error, inRequest bool) {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	c.ended = true
	if inRequest || !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.err = err
	}
}

// transmit writes what Send has queued.
func (c *Conn) transmit() {
	c.queue.L.Lock()
	defer c.queue.L.Unlock()
	for {
		for len(c.toSend) == 0 && !c.closed {
			c.queue.Wait()
		}
		if c.closed || c.sendErr != nil {
			return
		}
		octets := c.toSend
		c.toSend, c.sending = nil, true
		c.queue.L.Unlock()
		_, err := c.stream.Write(octets)
		c.queue.L.Lock()
		c.sending, c.sendErr = false, err
	}
}

// Send sends octets, in the background if they do not fit into the buffers.
// Octets of several Sends may leave in one write.
func (c *Conn) Send(octets string) {
	c.queue.L.Lock()
	defer c.queue.L.Unlock()
	c.toSend = append(c.toSend, octets...)
	c.queue.Broadcast()
}

// flush waits until everything was sent or cannot be for now.
func (c *Conn) flush() {
	c.origin.settler.eventually(func() string {
		c.queue.L.Lock()
		defer c.queue.L.Unlock()
		if (len(c.toSend) > 0 || c.sending) && c.sendErr == nil {
			return "not everything was sent"
		}
		return ""
	})
}

// PauseReading stops the Origin from reading this connection.
func (c *Conn) PauseReading() {
	c.setPaused(true)
	c.nc.SetReadDeadline(time.Unix(0, 0)) // ends the read that is under way
}

// ResumeReading ends PauseReading.
func (c *Conn) ResumeReading() {
	c.nc.SetReadDeadline(time.Time{})
	c.setPaused(false)
}

func (c *Conn) setPaused(paused bool) {
	c.queue.L.Lock()
	defer c.queue.L.Unlock()
	c.paused = paused
	c.queue.Broadcast()
}

// readUnlessPaused reads from the connection, while it is not paused.
func (c *Conn) readUnlessPaused(p []byte) (int, error) {
	for {
		c.waitWhilePaused()
		n, err := c.stream.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

func (c *Conn) waitWhilePaused() {
	c.queue.L.Lock()
	defer c.queue.L.Unlock()
	for c.paused && !c.closed {
		c.queue.Wait()
	}
}

// Close sends what is queued and closes the connection.
func (c *Conn) Close() {
	c.flush()
	c.markEnded()
	c.stream.Close()
}

// CloseWrite sends what is queued and ends the stream to the client, over TLS
// with the alert that says so.
func (c *Conn) CloseWrite() {
	c.flush()
	if tc, ok := c.stream.(*tls.Conn); ok {
		tc.CloseWrite()
	}
	c.nc.(interface{ CloseWrite() error }).CloseWrite()
}

// Reset sends what is queued and resets the connection.
func (c *Conn) Reset() {
	c.flush()
	c.markEnded()
	resetConn(c.nc)
}

// shutDown closes the connection at once, below TLS, and ends its goroutines.
func (c *Conn) shutDown() {
	c.markEnded()
	c.nc.Close()
	c.queue.L.Lock()
	defer c.queue.L.Unlock()
	c.closed = true
	c.queue.Broadcast()
}

func (c *Conn) markEnded() {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	c.ended = true
}

func (c *Conn) isEnded() bool {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	return c.ended
}

// resetConn resets a connection of TCP or package memnet.
func resetConn(nc net.Conn) error {
	switch nc := nc.(type) {
	case *memnet.Conn:
		return nc.Reset()
	case *net.TCPConn:
		return ResetTCP(nc)
	}
	return nc.Close()
}
