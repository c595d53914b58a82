package httppipe

import "time"

// janitorPeriod is how often idle connections are looked at, at least.
const janitorPeriod = time.Second

// A connList is a doubly linked list of connections. Their places know how many of theirs
// are in it.
type connList struct {
	first, last *conn
	n           int
}

func (l *connList) push(c *conn) {
	c.prev, c.next, c.listed = l.last, nil, true
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	l.n++
	c.place.idleListed++
}

// remove removes c, if it is there.
func (l *connList) remove(c *conn) {
	if !c.listed {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.prev, c.next, c.listed = nil, nil, false
	l.n--
	c.place.idleListed--
}

// becameIdle takes note that c carries nothing, and closes connections that are
// too many. c.place.mu is held.
func (pl *pool) becameIdle(c *conn, now instant) {
	p, t := c.place, c.place.t
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.closed || t.DisableKeepAlives || t.MaxIdleConnsPerHost < 0 {
		p.discard(c)
		return
	}
	pl.trim(p)
	if c.closing {
		return
	}
	c.idleSince, c.reused = now, true
	pl.idle.remove(c)
	pl.idle.push(c)
	if t.MaxIdleConns > 0 && pl.idle.n > t.MaxIdleConns {
		pl.closeOne(t)
	}
	if pl.timer == nil {
		pl.timer = time.AfterFunc(pl.period(t), func() { pl.clean(t) })
	}
}

// closeOne closes one of the idle connections of all places, which are too many: that which is
// idle longest, but rather one of a place that has some only because requests share others.
// pl.mu is held.
func (pl *pool) closeOne(t *Transport) {
	surplus := pl.idle.first
	for c := pl.idle.first; c != nil; c = c.next {
		if c.place.idleListed > t.maxIdlePerHost() {
			surplus = c
			break
		}
	}
	pl.idle.remove(surplus) // or the next one too many would choose it again
	go surplus.retireIdle()
}

// trim closes the idle connections of p that are too many. p.mu and pl.mu are held.
func (pl *pool) trim(p *place) {
	if n := p.maxIdle(); len(p.conns.idle()) > n {
		for range p.idleConns() - n {
			least := p.leastProof()
			pl.idle.remove(least)
			p.discard(least)
		}
	}
}

// defaultMaxIdleConnsPerHost is net/http's.
const defaultMaxIdleConnsPerHost = 2

func (t *Transport) maxIdlePerHost() int {
	if t.MaxIdleConnsPerHost == 0 {
		return defaultMaxIdleConnsPerHost
	}
	return t.MaxIdleConnsPerHost
}

// maxIdle is how many connections may be idle: as many as [Transport.MaxIdleConnsPerHost] says,
// and those that are only because their requests share others. p.mu is held.
func (p *place) maxIdle() int { return p.t.maxIdlePerHost() + p.inFlight - p.conns.busy }

// leastProof returns the idle connection that has passed the fewest steps, as it is of the
// least use, and of these the one that was used last. p.mu is held, and there is one.
func (p *place) leastProof() (least *conn) {
	for _, c := range p.conns.idle() {
		if c.isIdle() && (least == nil || c.proof < least.proof) {
			least = c
		}
	}
	return least
}

// idleConns counts the connections that carry nothing, and are not about to be
// closed; p.mu is held.
func (p *place) idleConns() (n int) {
	for _, c := range p.conns.idle() {
		if c.isIdle() {
			n++
		}
	}
	return n
}

// isIdle reports whether c carries nothing, and waits for a request; place.mu is held.
func (c *conn) isIdle() bool { return c.inFlight == 0 && !c.closing && !c.ended }

// notIdle takes c out of the idle connections, and returns for how long it has been
// among them.
func (pl *pool) notIdle(c *conn, now instant) time.Duration {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if !c.listed {
		return 0
	}
	pl.idle.remove(c)
	return now.Sub(c.idleSince)
}

// period is how long the janitor waits: until the connection that has been idle
// longest has been so for too long, and never more than janitorPeriod.
func (pl *pool) period(t *Transport) time.Duration {
	if t.IdleConnTimeout <= 0 || pl.idle.first == nil {
		return janitorPeriod
	}
	left := pl.idle.first.idleSince.Add(t.IdleConnTimeout).Sub(clock())
	return min(janitorPeriod, max(left, time.Millisecond))
}

// clean closes the idle connections that have ended, have received what nobody
// asked for, or have been idle for too long. It goes on as long as there are any.
func (pl *pool) clean(t *Transport) {
	pl.mu.Lock()
	var all []*conn
	for c := pl.idle.first; c != nil; c = c.next {
		all = append(all, c)
	}
	pl.mu.Unlock()
	for _, c := range all {
		if t.IdleConnTimeout > 0 && c.idleFor() >= t.IdleConnTimeout || c.isSpent() {
			c.retireIdle()
		} else if !c.trimmed() {
			c.d.Check()
		}
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.timer = nil
	if pl.idle.n > 0 {
		pl.timer = time.AfterFunc(pl.period(t), func() { pl.clean(t) })
	}
}

// idleFor is how long c has been idle; 0 if it is not.
func (c *conn) idleFor() time.Duration {
	pl := &c.place.t.pool
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if !c.listed {
		return 0
	}
	return clock().Sub(c.idleSince)
}

// isSpent is spent for those who do not hold place.mu.
func (c *conn) isSpent() bool {
	c.place.mu.Lock()
	defer c.place.mu.Unlock()
	return c.spent()
}

// trimmed has those idle connections of c's place closed that are too many by now, because
// requests that shared others have ended, and reports whether c is closed.
func (c *conn) trimmed() bool {
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := &p.t.pool
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.trim(p)
	return c.closing
}

// retireIdle closes c if it still is idle.
func (c *conn) retireIdle() {
	p := c.place
	p.mu.Lock()
	idle := c.isIdle()
	if idle {
		c.closing = true
	}
	p.mu.Unlock()
	if idle {
		c.d.Retire()
	}
}

// closeIdle closes all connections that carry nothing, and those that become idle
// before the next request.
func (pl *pool) closeIdle() {
	pl.mu.Lock()
	pl.closed = true
	pl.latest.Store(nil)
	var all []*conn
	for c := pl.idle.first; c != nil; c = c.next {
		all = append(all, c)
	}
	pl.mu.Unlock()
	for _, c := range all {
		c.retireIdle()
	}
}
