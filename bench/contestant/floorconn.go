package contestant

import (
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	floorBuffer = 64 << 10
	floorDepth  = 4096 // most requests in flight on a connection; a power of two
)

// A floorConn is one pipelined connection of a floor.
type floorConn struct {
	f        *floor
	nc       net.Conn
	inFlight atomic.Int32

	mu      sync.Mutex   // guards following
	out     []byte       // serialised, not yet handed to the kernel
	writing bool         // a caller is responsible for out
	reading bool         // a caller is reading (callersRead only)
	queue   []*floorCall // ring, oldest at head, in order of their requests
	head    int
	queued  int

	spare []byte // the writing caller's: a second buffer for out

	// Owned by whoever reads: buf[r:w] is received and not yet parsed.
	buf  []byte
	r, w int
}

func newFloorConn(f *floor, nc net.Conn) *floorConn {
	c := &floorConn{f: f, nc: nc, queue: make([]*floorCall, floorDepth), buf: make([]byte, floorBuffer)}
	if !f.callersRead {
		go c.readLoop()
	}
	return c
}

// do sends call's request and waits for its response.
func (c *floorConn) do(call *floorCall) error {
	c.inFlight.Add(1)
	defer c.inFlight.Add(-1)
	if write, alone := c.submit(call); write {
		if !alone {
			// Let the callers that can run now add their requests first. This
			// alone makes 20 to 60 requests per write out of 1.6.
			runtime.Gosched()
		}
		if err := c.flush(); err != nil {
			c.fail(err)
			return err
		}
	}
	if !c.f.callersRead {
		<-call.woken
		return call.err
	}
	return c.waitOrRead(call)
}

// submit queues the call. write says that the caller has to flush, alone that
// no other request is in flight and a waiting caller will read.
func (c *floorConn) submit(call *floorCall) (write, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendRequest(c.out, call.req)
	c.queue[(c.head+c.queued)&(floorDepth-1)] = call
	c.queued++
	write = !c.writing
	c.writing = true
	return write, c.f.callersRead && c.queued == 1
}

// flush writes until nothing is left, also what others add meanwhile.
func (c *floorConn) flush() error {
	for {
		c.mu.Lock()
		b := c.out
		if len(b) == 0 {
			c.writing = false
			c.mu.Unlock()
			return nil
		}
		c.out = c.spare[:0]
		c.mu.Unlock()
		if _, err := c.nc.Write(b); err != nil {
			return err
		}
		c.spare = b[:0]
	}
}

// waitOrRead waits for the response, or for the role of the reader.
func (c *floorConn) waitOrRead(call *floorCall) error {
	c.mu.Lock()
	read := !c.reading && !call.done
	if read {
		c.reading = true
	}
	c.mu.Unlock()
	if !read {
		<-call.woken
		if !call.lead {
			return call.err
		}
		call.lead = false
	}
	if err := c.readUntil(call); err != nil {
		c.fail(err)
		return err
	}
	return call.err
}

// readUntil reads until own is answered, then passes the role to the caller
// that is next in the queue.
func (c *floorConn) readUntil(own *floorCall) error {
	for answered := false; !answered; {
		var err error
		if answered, err = c.readSome(own); err != nil {
			return err
		}
	}
	c.mu.Lock()
	var next *floorCall
	if c.queued > 0 {
		next = c.queue[c.head]
	} else {
		c.reading = false
	}
	c.mu.Unlock()
	if next != nil {
		next.lead = true
		next.woken <- struct{}{}
	}
	return nil
}

func (c *floorConn) readLoop() {
	for {
		if _, err := c.readSome(nil); err != nil {
			c.fail(err)
			return
		}
	}
}

// pop takes the oldest call off the queue.
func (c *floorConn) pop() *floorCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.queue[c.head]
	call.done = true
	c.head = (c.head + 1) & (floorDepth - 1)
	c.queued--
	return call
}

// fail wakes all callers with err.
func (c *floorConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.queued > 0; c.queued-- {
		call := c.queue[c.head]
		c.head = (c.head + 1) & (floorDepth - 1)
		call.err = err
		select {
		case call.woken <- struct{}{}:
		default: // it failed by itself
		}
	}
}

func appendRequest(b []byte, r *http.Request) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	for name, values := range r.Header {
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}
