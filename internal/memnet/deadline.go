package memnet

import (
	"net"
	"time"
)

// A deadline is a moment after which calls fail. The zero value never comes.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes blocked calls; nil if there is nothing to wait for
}

func (d *deadline) passed(now time.Time) bool {
	return !d.at.IsZero() && !now.Before(d.at)
}

func (d *deadline) set(t time.Time, wake func()) {
	d.stop()
	d.at = t
	if left := time.Until(t); !t.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, wake)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// SetDeadline sets both deadlines. As with every net.Conn, one that has
// passed fails calls at once, blocked ones included, and a later one or the
// zero time revives the connection.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline)
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.writeDeadline)
}

func (c *Conn) setDeadlines(t time.Time, deadlines ...*deadline) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		d.set(t, c.link.wake)
	}
	c.link.changed.Broadcast()
	return nil
}
