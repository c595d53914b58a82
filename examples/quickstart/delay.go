package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// chunkSize is the most that one read takes from a socket.
	chunkSize = 32 << 10

	// maxChunks bounds what one direction of one connection may hold while it
	// waits: 32 MiB, far more than the documents of this program, so that the
	// delay never turns into a limit on throughput.
	maxChunks = 1024
)

// A link is a path of a given length between a client and an origin on this
// machine. It delays octets and does not limit how many are on their way;
// bandwidth, loss and TCP slow start are not simulated.
//
// It is a TCP proxy on loopback: client and origin each hold an ordinary TCP
// connection. All methods may be called from several goroutines.
type link struct {
	origin string
	oneWay time.Duration
	ln     net.Listener
	wg     sync.WaitGroup // goroutines of this link

	mu     sync.Mutex
	open   map[net.Conn]struct{} // closed by Close
	closed bool
}

// newLink starts a link to the origin at addr. The caller must Close it.
func newLink(addr string, roundTrip time.Duration) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{origin: addr, oneWay: roundTrip / 2, ln: ln, open: make(map[net.Conn]struct{})}
	l.wg.Go(l.serve)
	return l, nil
}

// addr is where clients reach the origin through the link.
func (l *link) addr() string { return l.ln.Addr().String() }

// dial connects to the link. It takes one round trip, as a TCP handshake does,
// and returns a plain TCP connection.
func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	handshake := time.NewTimer(2 * l.oneWay)
	defer handshake.Stop()
	select {
	case <-handshake.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Close ends the link and every connection through it, and waits for both.
func (l *link) Close() {
	l.mu.Lock()
	l.closed = true
	for c := range l.open {
		c.Close()
	}
	l.mu.Unlock()
	l.ln.Close()
	l.wg.Wait()
}

func (l *link) serve() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return // closed
		}
		l.wg.Go(func() { l.carry(client) })
	}
}

// carry serves one connection from its start to its end.
func (l *link) carry(client net.Conn) {
	defer l.forget(client)
	if !l.remember(client) {
		return
	}
	origin, err := net.Dial("tcp", l.origin)
	if err != nil {
		return
	}
	defer l.forget(origin)
	if !l.remember(origin) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.oneDirection(origin, client) })
	both.Go(func() { l.oneDirection(client, origin) })
	both.Wait()
}

// oneDirection relays src to dst. An orderly end is passed on as such, so that
// the other direction can finish; anything else ends the whole connection.
func (l *link) oneDirection(dst, src net.Conn) {
	if relay(dst, src, l.oneWay) == nil {
		if half, ok := dst.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			return
		}
	}
	dst.Close()
	src.Close()
}

func (l *link) remember(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.open[c] = struct{}{}
	}
	return !l.closed
}

func (l *link) forget(c net.Conn) {
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	c.Close()
}

// A chunk is what one read returned, and when it may leave.
type chunk struct {
	due  time.Time
	data []byte
	err  error // ended the reading; data is empty then
}

// relay copies src to dst until src ends. Each octet is written delay after it
// was read, however many came before it. The result is nil if src ended with
// io.EOF.
//
// When writing fails, relay returns at once; the read in progress ends when the
// caller closes src.
func relay(dst io.Writer, src io.Reader, delay time.Duration) error {
	chunks := make(chan chunk, maxChunks)
	failed := make(chan struct{}) // closed when nothing takes from chunks any more
	defer close(failed)
	go readChunks(src, delay, chunks, failed)
	for c := range chunks {
		time.Sleep(time.Until(c.due))
		if c.err != nil {
			if errors.Is(c.err, io.EOF) {
				return nil
			}
			return c.err
		}
		if _, err := dst.Write(c.data); err != nil {
			return err
		}
	}
	return nil
}

// readChunks reads src until it ends, and stamps what it reads. It closes chunks.
func readChunks(src io.Reader, delay time.Duration, chunks chan<- chunk, failed <-chan struct{}) {
	defer close(chunks)
	buf := make([]byte, chunkSize)
	for {
		n, err := src.Read(buf)
		due := time.Now().Add(delay)
		if n > 0 {
			data := append([]byte(nil), buf[:n]...)
			select {
			case chunks <- chunk{due: due, data: data}:
			case <-failed:
				return
			}
		}
		if err != nil {
			select {
			case chunks <- chunk{due: due, err: err}:
			case <-failed:
			}
			return
		}
	}
}
