package delay

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/httppipe/httppipe/bench/internal/evloop"
	"golang.org/x/sys/unix"
)

const (
	maxSleep = time.Second
	readSize = 64 << 10
	maxReads = 16 // at a time from one connection, so that others get a turn
)

// Serve forwards connections to backend, each direction delayed by half of
// roundTrip. It calls announce with its own address once connections are
// accepted, and returns only on failure.
func Serve(backend string, roundTrip time.Duration, announce func(addr string)) error {
	runtime.LockOSThread()
	debug.SetGCPercent(400)
	fd, addr, err := evloop.Listen()
	if err != nil {
		return err
	}
	poller, err := evloop.NewPoller()
	if err != nil {
		return err
	}
	if err := poller.Add(fd, evloop.Readable); err != nil {
		return err
	}
	announce(addr)
	p := &proxy{
		listener:  fd,
		poller:    poller,
		backend:   backend,
		roundTrip: roundTrip,
		ends:      make(map[int]*end),
		buf:       make([]byte, readSize),
	}
	for {
		if err := p.turn(); err != nil {
			return err
		}
	}
}

// A proxy serves all connections from one thread.
type proxy struct {
	listener  int
	poller    *evloop.Poller
	backend   string
	roundTrip time.Duration
	ends      map[int]*end // by file descriptor
	due       evloop.Deadlines[*end]
	buf       []byte
}

// An end is one of the two sockets of a proxied connection.
type end struct {
	p       *proxy
	fd      int
	peer    *end
	queue   queue  // octets on their way to this end
	timed   bool   // in proxy.due
	blocked bool   // the socket takes no more octets for now
	done    bool   // the end of the stream was passed on
	events  uint32 // waited for
	removed bool   // nothing is waited for any more
	closed  bool
}

func (p *proxy) turn() error {
	events, err := p.poller.Wait(p.due.Next(time.Now(), maxSleep))
	if err != nil {
		return err
	}
	for _, ev := range events {
		if int(ev.Fd) == p.listener {
			if err := p.accept(); err != nil {
				return err
			}
		} else if e := p.ends[int(ev.Fd)]; e != nil {
			e.handle(ev.Events)
		}
	}
	now := time.Now()
	for {
		e, ok := p.due.Take(now)
		if !ok {
			return nil
		}
		e.timed = false
		e.deliver(now)
		e.wait()
		e.peer.wait()
	}
}

func (p *proxy) accept() error {
	for {
		fd, ok := evloop.Accept(p.listener)
		if !ok {
			return nil
		}
		backend, err := evloop.Dial(p.backend)
		if err != nil {
			unix.Close(fd)
			continue
		}
		client, server := p.newEnd(fd), p.newEnd(backend)
		client.peer, server.peer = server, client
		server.queue.notBefore = time.Now().Add(p.roundTrip)
		for _, e := range []*end{client, server} {
			if err := p.poller.Add(e.fd, e.events); err != nil {
				return err
			}
		}
	}
}

func (p *proxy) newEnd(fd int) *end {
	e := &end{p: p, fd: fd, events: evloop.Readable, queue: queue{delay: p.roundTrip / 2}}
	p.ends[fd] = e
	return e
}

func (e *end) handle(events uint32) {
	if events&evloop.Broken != 0 {
		e.close()
		return
	}
	if events&evloop.Writable != 0 {
		e.blocked = false
		e.deliver(time.Now())
	}
	if events&(evloop.Readable|evloop.HungUp) != 0 {
		e.read()
	}
	e.wait()
	e.peer.wait()
}

// read takes octets from the socket and puts them on their way to the peer.
func (e *end) read() {
	to := e.peer
	for range maxReads {
		if e.closed || to.queue.full() {
			break
		}
		n, err := evloop.Read(e.fd, e.p.buf)
		if err != nil {
			e.close()
			return
		}
		if n < 0 {
			break
		}
		if n == 0 {
			to.queue.end(time.Now())
			break
		}
		to.queue.put(e.p.buf[:n], time.Now())
	}
	to.schedule()
}

// schedule sets the timer for the octets that are due next.
func (e *end) schedule() {
	if due, ok := e.queue.next(); ok && !e.timed && !e.blocked {
		e.timed = true
		e.p.due.Add(due, e)
	}
}

// deliver writes what is due.
func (e *end) deliver(now time.Time) {
	for !e.closed {
		b, last := e.queue.front(now)
		if last {
			e.finish()
			return
		}
		if b == nil {
			break
		}
		n, err := evloop.Write(e.fd, b)
		if err != nil {
			e.close()
			return
		}
		if n < 0 {
			e.blocked = true
			return
		}
		e.queue.sent(n)
	}
	if !e.closed {
		e.schedule()
	}
}

// finish passes the end of the stream on, and closes the connection once both
// directions have ended.
func (e *end) finish() {
	e.queue.sent(0)
	unix.Shutdown(e.fd, unix.SHUT_WR)
	e.done = true
	if e.peer.done {
		e.close()
	}
}

// wait tells the poller what this end waits for now.
func (e *end) wait() {
	if e.closed || e.removed {
		return
	}
	if e.done && e.peer.queue.ended {
		// Ended both ways, it would report HungUp over and over.
		e.removed = true
		e.p.poller.Remove(e.fd)
		return
	}
	var events uint32
	if !e.peer.queue.full() {
		events |= evloop.Readable
	}
	if e.blocked {
		events |= evloop.Writable
	}
	if events != e.events {
		e.events = events
		e.p.poller.Set(e.fd, events)
	}
}

func (e *end) close() {
	for _, x := range []*end{e, e.peer} {
		if !x.closed {
			x.closed = true
			delete(e.p.ends, x.fd)
			unix.Close(x.fd)
		}
	}
}
