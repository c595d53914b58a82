package memnet

import (
	"net"
	"sync"
)

// A Listener hands out the accepting ends of connections. It implements
// [net.Listener]. Its backlog has no bound.
type Listener struct {
	network *Network
	addr    Addr

	mu      sync.Mutex // guards the rest; never held while waiting
	changed sync.Cond
	backlog []*Conn // connected, not accepted yet
	closed  bool
}

var _ net.Listener = (*Listener)(nil)

func newListener(n *Network, addr Addr) *Listener {
	ln := &Listener{network: n, addr: addr}
	ln.changed.L = &ln.mu
	return ln
}

// offer puts c into the backlog. It reports false if ln is closed.
func (ln *Listener) offer(c *Conn) bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.closed {
		return false
	}
	ln.backlog = append(ln.backlog, c)
	ln.changed.Signal()
	return true
}

// Accept waits for the next connection, a *[Conn].
func (ln *Listener) Accept() (net.Conn, error) {
	c, err := ln.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept with the type of its result.
func (ln *Listener) AcceptConn() (*Conn, error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for len(ln.backlog) == 0 && !ln.closed {
		ln.changed.Wait()
	}
	if ln.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: ln.addr, Err: net.ErrClosed}
	}
	c := ln.backlog[0]
	ln.backlog = ln.backlog[1:]
	return c, nil
}

// Close stops listening and resets the connections nobody has accepted.
func (ln *Listener) Close() error {
	ln.mu.Lock()
	if ln.closed {
		ln.mu.Unlock()
		return &net.OpError{Op: "close", Net: "tcp", Addr: ln.addr, Err: net.ErrClosed}
	}
	ln.closed = true
	backlog := ln.backlog
	ln.backlog = nil
	ln.changed.Broadcast()
	ln.mu.Unlock()

	ln.network.remove(ln)
	for _, c := range backlog {
		c.Reset()
	}
	return nil
}

// Addr returns the address listened on, an [Addr].
func (ln *Listener) Addr() net.Addr { return ln.addr }
