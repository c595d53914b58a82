package httppipe

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/httppipe/httppipe/wire"
)

// A Keep-Alive field in a response says how long the server keeps the connection
// when it is idle, and how many requests more it answers on it. No current RFC has
// it (RFC 2068, Section 19.7.1.1, had), but servers send it, and mean it.

// keepAliveMargin is how much earlier than a server announces an idle connection is
// given up, but not more than half of that time: a request that is on its way when
// the server closes is lost, and if it is not replayable, for good. It covers the
// way of the response and of the next request, and clocks that are read in seconds.
const keepAliveMargin = time.Second

// A keepAlive is what a server has announced for one connection. The zero value
// is nothing.
type keepAlive struct {
	idle time.Duration // for how long the connection may be idle and still be used; 0: unknown
	last int           // which exchange of the connection is the last, from 1; 0: unknown
}

// heed takes note of what the nth response of a connection announces: by its last
// Keep-Alive field, as each of them speaks of the future.
func (k *keepAlive) heed(nth int, head *wire.ResponseHead) {
	timeout, more := parseKeepAlive(head.Values("Keep-Alive"))
	if timeout >= 0 {
		announced := time.Duration(timeout) * time.Second
		k.idle = max(1, announced-min(announced/2, keepAliveMargin)) // not 0, which is nothing
	}
	if more >= 0 {
		k.last = nth + more
	}
}

// parseKeepAlive returns the parameters timeout, in seconds, and max of a Keep-Alive
// field, or -1 if they are missing or make no sense.
func parseKeepAlive(values []string) (timeout, more int) {
	timeout, more = -1, -1
	for _, v := range values {
		for param := range strings.SplitSeq(v, ",") {
			name, value, _ := strings.Cut(param, "=")
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
			if err != nil {
				continue
			}
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "timeout"):
				timeout = int(n)
			case strings.EqualFold(name, "max"):
				more = int(n)
			}
		}
	}
	return timeout, more
}

// spent reports whether the server has announced that it will not answer another
// request on c: all that it answers were sent, or c has been idle for too long.
// place.mu is held.
func (c *conn) spent() bool {
	k := &c.keep
	return k.last > 0 && c.gone+c.inFlight >= k.last ||
		k.idle > 0 && c.inFlight == 0 && clock().Sub(c.turn) >= k.idle
}

// heedStreamed has c heed the response to x, whose content is still to be read.
// Those that leave the connection with their head are heeded as they do, so
// that nothing is sent in between; of one that was moved out of the way, and has left
// meanwhile, it is not known any more how many came after it. A connection outside
// of any pool has nobody who would ask.
func (c *conn) heedStreamed(x *exchange) {
	p := c.place
	if x.call.Complete() || p == nil || x.call.Response.Values("Keep-Alive") == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(c.line, x) {
		c.keep.heed(c.gone+1, &x.call.Response)
	}
}

// discardSpent closes the idle connections that are spent, so that they keep no
// other from being made. p.mu is held.
func (p *place) discardSpent() {
	for _, c := range p.conns.idle() {
		if c.isIdle() && c.spent() {
			p.discard(c)
		}
	}
}
