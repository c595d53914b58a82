package origin

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/httppipe/httppipe/bench/internal/evloop"
	"golang.org/x/sys/unix"
)

// maxSleep is how long the loop waits when nothing is to be done.
const maxSleep = time.Second

// maxDrops bounds what one connection's upload may take of the loop at a time,
// each up to dropSize octets.
const (
	maxDrops = 64
	dropSize = 8 << 20
)

// ServePlain serves cleartext HTTP/1.1 on a free port of the loopback
// interface, all of it on the calling goroutine's thread. It calls announce
// with the address once connections are accepted, and returns only on failure.
func ServePlain(announce func(addr string)) error {
	runtime.LockOSThread()
	debug.SetGCPercent(400) // hardly any garbage is made; collect it seldom
	fd, addr, err := evloop.Listen()
	if err != nil {
		return err
	}
	p, err := evloop.NewPoller()
	if err != nil {
		return err
	}
	if err := p.Add(fd, evloop.Readable); err != nil {
		return err
	}
	announce(addr)
	l := &loop{listener: fd, poller: p, conns: make(map[int]*conn)}
	for {
		if err := l.turn(); err != nil {
			return err
		}
	}
}

// A loop serves all connections from one thread.
type loop struct {
	listener int
	poller   *evloop.Poller
	conns    map[int]*conn // by file descriptor
	slow     evloop.Deadlines[*conn]
	canned   canned
}

func (l *loop) turn() error {
	events, err := l.poller.Wait(l.slow.Next(time.Now(), maxSleep))
	if err != nil {
		return err
	}
	now := time.Now()
	l.canned.tick(now)
	for _, e := range events {
		if int(e.Fd) == l.listener {
			if err := l.accept(); err != nil {
				return err
			}
		} else if c := l.conns[int(e.Fd)]; c != nil {
			c.handle(e.Events)
		}
	}
	for {
		c, ok := l.slow.Take(now)
		if !ok {
			return nil
		}
		if !c.closed {
			c.timed = false
			c.s.resume()
			c.step()
		}
	}
}

func (l *loop) accept() error {
	for {
		fd, ok := evloop.Accept(l.listener)
		if !ok {
			return nil
		}
		c := &conn{l: l, fd: fd, s: newSession(&l.canned), events: evloop.Readable}
		l.conns[fd] = c
		if err := l.poller.Add(fd, c.events); err != nil {
			return err
		}
	}
}

// A conn is a session with a socket.
type conn struct {
	l      *loop
	fd     int
	s      *session
	events uint32 // waited for
	timed  bool   // in loop.slow
	closed bool
}

func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.l.conns, c.fd)
	unix.Close(c.fd)
}

func (c *conn) handle(events uint32) {
	if events&(evloop.Broken|evloop.HungUp) != 0 {
		c.close()
		return
	}
	if events&evloop.Writable != 0 {
		c.step()
	}
	if !c.closed && events&evloop.Readable != 0 {
		c.read()
	}
}

// read takes what has arrived: content is dropped in the kernel where it can be.
func (c *conn) read() {
	for range maxDrops {
		n := c.s.droppable()
		if n == 0 {
			c.receive()
			return
		}
		m, err := evloop.Drop(c.fd, int(min(n, dropSize)))
		switch {
		case m == 0 || err != nil:
			c.close()
			return
		case m < 0:
			return // nothing there yet
		}
		c.s.dropped(int64(m))
		if c.s.droppable() == 0 {
			c.step()
			return
		}
	}
}

// receive reads once and answers.
func (c *conn) receive() {
	b, err := c.s.space()
	if err != nil {
		c.close()
		return
	}
	n, err := evloop.Read(c.fd, b)
	if n == 0 || err != nil {
		c.close()
		return
	}
	if n > 0 {
		c.s.received(n)
		c.step()
	}
}

// step parses what is buffered, writes once for all of it, and sets what to
// wait for next.
func (c *conn) step() {
	for {
		before := c.s.r
		if c.s.parse() != nil || !c.flush() {
			c.close()
			return
		}
		// Input may be left that was not parsed because of too much output.
		if c.s.r == before || len(c.s.output()) > 0 {
			break
		}
	}
	if c.s.stalled && !c.timed {
		c.timed = true
		c.l.slow.Add(time.Now().Add(c.s.delay), c)
	}
	if c.s.finished() {
		c.close()
		return
	}
	c.wait()
}

func (c *conn) wait() {
	var events uint32
	if len(c.s.output()) > 0 {
		events |= evloop.Writable
	}
	if c.s.wantsInput() {
		events |= evloop.Readable
	}
	if events != c.events {
		c.events = events
		c.l.poller.Set(c.fd, events)
	}
}

// flush writes what the socket takes. It reports whether the connection is
// still good.
func (c *conn) flush() bool {
	for len(c.s.output()) > 0 {
		n, err := evloop.Write(c.fd, c.s.output())
		if err != nil {
			return false
		}
		if n < 0 {
			return true
		}
		c.s.wrote(n)
	}
	return true
}
