package pipeline

import (
	"context"
	"errors"
	"net"
)

// errTunnel is the cause of errors of a Conn that has become a tunnel.
var errTunnel = errors.New("the connection has become a tunnel")

// Tunnel gives up the Conn and returns the connection it was made with, when that
// no longer speaks HTTP: after 101 (Switching Protocols), and after a 2xx response
// to CONNECT. Otherwise the error is a [*StateError].
//
// Mostly it is the same net.Conn, so that TLS on top of it (see [TLSClient]) can
// use its socket. If octets were received already, it is one that yields them
// first.
func (c *Conn) Tunnel(ctx context.Context) (net.Conn, error) {
	c.takeHalves(both)
	defer c.dropHalves(both)
	if err := c.checkTunnel(); err != nil {
		return nil, err
	}
	for c.kept() {
		if err := c.move(ctx, nil, c.rest()); err != nil {
			return nil, err
		}
		if _, err := c.push(false); err != nil {
			return nil, err
		}
	}
	rest, err := c.link.release()
	if err != nil {
		err = &ConnectionError{err}
		c.fail(err)
		return nil, err
	}
	c.mu.Lock()
	c.failLocked(&ConnectionError{errTunnel}) // and leave it open
	c.mu.Unlock()
	if early := append(c.rcv.buffered(), rest...); len(early) > 0 {
		return &tunnel{Conn: c.nc, early: early}, nil
	}
	return c.nc, nil
}

func (c *Conn) checkTunnel() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.receive {
	case receiveTunnel:
		return nil
	case receiveClosed:
		return c.err
	}
	return &StateError{"Tunnel", "the connection speaks HTTP"}
}

// A tunnel is a net.Conn of which octets were read already.
type tunnel struct {
	net.Conn
	early []byte // owned by the reading goroutine
}

// NetConn returns the connection below, as that of a tls.Conn does.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) == 0 {
		return t.Conn.Read(p)
	}
	n := copy(p, t.early)
	t.early = t.early[n:]
	return n, nil
}
