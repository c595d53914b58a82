package memnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Network connects those who dial an address with those who listen on it.
// It is safe for concurrent use. Make one with [New].
type Network struct {
	cfg config

	mu        sync.Mutex
	listeners map[string]*Listener
	attempts  []Attempt
	delay     time.Duration
	refuse    bool
	fail      map[int]error
	hook      DialHook
}

// An Attempt is one call of [Network.DialContext].
type Attempt struct {
	Network, Addr string
	At            time.Time
	Done          bool  // it returned
	Conn          *Conn // what it returned, unless it failed
	Err           error // why it failed
}

// A DialHook runs within the n-th call of DialContext (the first is 1),
// before it connects. It may wait, but must return when ctx is done. An
// error fails the dial.
type DialHook func(ctx context.Context, n int, addr string) error

// New returns a Network whose connections have the given options.
func New(opts ...Option) *Network {
	return &Network{
		cfg:       newConfig(opts),
		listeners: make(map[string]*Listener),
		fail:      make(map[int]error),
	}
}

// Listen starts listening on addr, which is any string that is dialed
// literally, such as "example.com:80".
func (n *Network) Listen(addr string) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: Addr(addr),
			Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	ln := newListener(n, Addr(addr))
	n.listeners[addr] = ln
	return ln, nil
}

// DialContext connects to the Listener on addr. It takes a round trip and
// what [Network.DelayDials] adds; where nobody listens it then fails with
// ECONNREFUSED.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	index, delay, failure := n.begin(network, addr)
	conn, err := n.dial(ctx, index, delay, addr, failure)
	if err != nil {
		err = &net.OpError{Op: "dial", Net: network, Addr: Addr(addr), Err: err}
	}
	n.finish(index, conn, err)
	if err != nil {
		return nil, err
	}
	if n.cfg.sockets {
		return Socket{conn}, nil
	}
	return conn, nil
}

// begin enters the attempt into the record and returns its fate.
func (n *Network) begin(network, addr string) (index int, delay time.Duration, failure error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attempts = append(n.attempts, Attempt{Network: network, Addr: addr, At: time.Now()})
	index = len(n.attempts)
	failure = n.fail[index]
	if failure == nil && n.refuse {
		failure = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return index, n.delay + 2*n.cfg.latency, failure
}

func (n *Network) dial(ctx context.Context, index int, delay time.Duration, addr string, failure error) (*Conn, error) {
	if err := sleep(ctx, delay); err != nil {
		return nil, err
	}
	if hook := n.dialHook(); hook != nil {
		if err := hook(ctx, index, addr); err != nil {
			return nil, err
		}
	}
	if failure != nil {
		return nil, failure
	}
	n.mu.Lock()
	ln := n.listeners[addr]
	n.mu.Unlock()
	client, server := pipe(n.cfg, Addr(fmt.Sprintf("192.0.2.1:%d", 40000+index%20000)), Addr(addr))
	if ln == nil || !ln.offer(server) {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return client, nil
}

func (n *Network) finish(index int, conn *Conn, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := &n.attempts[index-1]
	a.Done, a.Conn, a.Err = true, conn, err
}

func (n *Network) dialHook() DialHook {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hook
}

// sleep waits for d or until ctx is done, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// DelayDials makes later dials take d longer.
func (n *Network) DelayDials(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// RefuseDials makes later dials fail with ECONNREFUSED, or no longer do so.
func (n *Network) RefuseDials(refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = refuse
}

// FailDial makes the nth call of DialContext, counted from 1 since the
// Network was made, fail with err.
func (n *Network) FailDial(nth int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail[nth] = err
}

// OnDial sets a hook for later dials; nil removes it.
func (n *Network) OnDial(hook DialHook) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

// Dials returns how often DialContext was called.
func (n *Network) Dials() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.attempts)
}

// Attempts returns a copy of the record of all dials, in order of call.
func (n *Network) Attempts() []Attempt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.attempts)
}

// Conns returns the dialing end of every connection made, in order of call.
func (n *Network) Conns() []*Conn {
	var conns []*Conn
	for _, a := range n.Attempts() {
		if a.Conn != nil {
			conns = append(conns, a.Conn)
		}
	}
	return conns
}

// Open returns the connections that the side which dialed has not closed,
// in order of call.
func (n *Network) Open() []*Conn {
	return slices.DeleteFunc(n.Conns(), (*Conn).IsClosed)
}

// AllClosed reports whether those who dialed have closed every connection.
func (n *Network) AllClosed() bool { return len(n.Open()) == 0 }

// remove ends listening on the address of ln.
func (n *Network) remove(ln *Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr := ln.addr.String(); n.listeners[addr] == ln {
		delete(n.listeners, addr)
	}
}
