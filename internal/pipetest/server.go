package pipetest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server answers pipelined requests by itself, one after the other on each
// connection, as well or badly as it is told. The zero value behaves. Set the
// fields before Serve is called.
type Server struct {
	// Handler decides how requests are answered; nil means AnswerContent.
	Handler Handler
	// Plan says how the i-th accepted connection, from 0, behaves. nil means
	// the zero Behaviour.
	Plan func(i int) Behaviour
	// TLS is the configuration of TLS; nil means plain HTTP.
	TLS *tls.Config

	mu        sync.Mutex // guards the rest
	closed    bool
	listeners []net.Listener
	open      map[*serverConn]bool
	accepted  int
	record    []*Entry
	malformed []error
	serving   sync.WaitGroup
}

// Start serves ln on goroutines of its own until the test ends.
func (s *Server) Start(t testing.TB, ln net.Listener) {
	go s.Serve(ln)
	t.Cleanup(func() {
		ln.Close() // in case Serve has not begun
		s.Close()
	})
}

// Serve accepts connections until ln or the Server is closed.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, ln)
	s.mu.Unlock()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		if !s.start(nc) {
			nc.Close()
			return net.ErrClosed
		}
	}
}

// start serves nc on a goroutine. It reports false if s is closed.
func (s *Server) start(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	c := newServerConn(s, s.accepted, nc)
	s.accepted++
	if s.open == nil {
		s.open = make(map[*serverConn]bool)
	}
	s.open[c] = true
	s.serving.Go(c.serve)
	return true
}

// Close ends listening, resets all connections, and waits for their
// goroutines to end.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, ln := range s.listeners {
		ln.Close()
	}
	for c := range s.open {
		c.stop()
		resetConn(c.nc)
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// ResetAll resets all open connections, as a server that dies does. It goes
// on listening.
func (s *Server) ResetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		resetConn(c.nc) // before it stops, which would end it in good order
		c.stop()
	}
}

// segmentSize is how much a connection takes in at once. Requests that the
// client wrote together arrive together up to this size.
const segmentSize = 64 << 10

// A serverConn is one connection of a Server. All methods but stop belong to
// its goroutine.
type serverConn struct {
	server  *Server
	index   int
	nc      net.Conn // as accepted
	stream  net.Conn // nc, or TLS over it
	br      *bufio.Reader
	plan    Behaviour
	handler Handler
	ctx     context.Context // done when the Server ends the connection
	stop    context.CancelFunc

	received int  // request heads
	cut      bool // the last Read was the last one
}

func newServerConn(s *Server, index int, nc net.Conn) *serverConn {
	c := &serverConn{server: s, index: index, nc: nc, stream: nc, handler: s.Handler}
	if s.TLS != nil {
		c.stream = tls.Server(nc, s.TLS)
	}
	if c.handler == nil {
		c.handler = AnswerContent
	}
	c.br = bufio.NewReaderSize(readerFunc(c.read), segmentSize)
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// serve answers requests until the connection ends.
func (c *serverConn) serve() {
	defer c.remove()
	defer c.nc.Close()
	if c.server.Plan != nil {
		c.plan = c.server.Plan(c.index)
	}
	for answered := 0; ; answered++ {
		if c.idleTooLong() {
			c.end()
			return
		}
		req, entry := c.receiveHead()
		if req == nil {
			return
		}
		last := c.plan.CloseAfter > 0 && answered+1 >= c.plan.CloseAfter
		if !c.answer(req, entry, last) {
			return
		}
	}
}

// idleTooLong waits for octets to come, and reports whether none did in time.
func (c *serverConn) idleTooLong() bool {
	if c.plan.IdleTimeout <= 0 {
		return false
	}
	c.stream.SetReadDeadline(time.Now().Add(c.plan.IdleTimeout))
	_, err := c.br.Peek(1)
	c.stream.SetReadDeadline(time.Time{})
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *serverConn) remove() {
	c.stop()
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	delete(c.server.open, c)
}

// receiveHead returns the next request, or nil if there will be none.
func (c *serverConn) receiveHead() (*http.Request, *Entry) {
	req, err := http.ReadRequest(c.br)
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if !c.cut && isMalformed(err) {
			s.malformed = append(s.malformed, err)
		}
		return nil, nil
	}
	entry := &Entry{
		Conn: c.index, Index: c.received,
		Method: req.Method, Target: req.RequestURI, Host: req.Host, Header: req.Header.Clone(),
	}
	s.record = append(s.record, entry)
	c.received++
	return req, entry
}

// read reads from the connection. http.ReadRequest takes a line without an end, where
// the connection ends, for a whole one.
func (c *serverConn) read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	c.cut = err != nil
	return n, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// isMalformed reports whether err is about octets, and not about the end of
// the connection.
func isMalformed(err error) bool {
	var op *net.OpError
	return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
		!errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &op)
}

// receiveContent reads the content of req and returns it if keep is set.
func (c *serverConn) receiveContent(req *http.Request, entry *Entry, keep bool) (content []byte, ok bool) {
	sum := sha256.New()
	buf := make([]byte, 32<<10)
	for {
		n, err := req.Body.Read(buf)
		sum.Write(buf[:n])
		if keep {
			content = append(content, buf[:n]...)
		}
		c.note(func() {
			entry.Octets += int64(n)
			if err == io.EOF {
				entry.Complete = true
				sum.Sum(entry.Sum[:0])
			}
		})
		if err != nil {
			return content, err == io.EOF
		}
	}
}

// note changes an Entry.
func (c *serverConn) note(f func()) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	f()
}

// sleep waits for d. It reports false if the connection was ended meanwhile.
func (c *serverConn) sleep(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// end ends the connection as the plan says.
func (c *serverConn) end() {
	switch {
	case c.plan.Ending == EndReset, c.plan.Ending == EndClose && c.br.Buffered() > 0:
		resetConn(c.nc)
	case c.plan.Ending == EndClose:
		c.stream.Close()
	default:
		if tc, ok := c.stream.(*tls.Conn); ok {
			tc.CloseWrite()
		}
		c.nc.(interface{ CloseWrite() error }).CloseWrite()
		io.Copy(io.Discard, c.nc)
	}
}

// stayMute reads what comes and answers nothing, until the client closes.
func (c *serverConn) stayMute() {
	for {
		req, entry := c.receiveHead()
		if req == nil {
			return
		}
		if _, ok := c.receiveContent(req, entry, false); !ok {
			return
		}
	}
}

func expectsContinue(req *http.Request) bool {
	return strings.EqualFold(req.Header.Get("Expect"), "100-continue")
}
