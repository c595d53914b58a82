package pipeline

import (
	"context"
	"time"
)

// Readiness is a set of directions.
type Readiness uint8

const (
	Readable Readiness = 1 << iota // response octets, the end of the connection, or an error
	Writable                       // octets can be handed over

	both = Readable | Writable
)

// Poll waits until the connection is ready for one of the directions in want,
// and returns those it is ready for. Octets already received count as readable;
// TLS records, interim responses and the framing of chunks do not, they are
// consumed here. It is safe to wait for input alone: octets that TryWrite has
// kept back are handed over meanwhile. An empty want returns at once.
//
// With Writable, Poll counts as a send, with Readable as a receive.
func (c *Conn) Poll(ctx context.Context, want Readiness) (Readiness, error) {
	c.takeHalves(want)
	defer c.dropHalves(want)
	for {
		if ready := c.ready(want); ready != 0 || want == 0 {
			return ready, nil
		}
		if err := c.await(ctx, want); err != nil {
			return 0, err
		}
	}
}

// ready tries the directions in want without waiting. Their halves are the
// caller's.
func (c *Conn) ready(want Readiness) (ready Readiness) {
	if want&Readable != 0 && c.readable() {
		ready |= Readable
	}
	if want&Writable != 0 {
		if done, err := c.push(false); done || err != nil {
			ready |= Writable // an error is found by the write
		}
	}
	return ready
}

// await waits until octets have moved in one of the directions in want, whose
// halves are the caller's, or ctx ends. Those who want the halves have got them
// in between, so that the caller has to look at everything again.
//
// Octets that are kept back are handed over while it waits for input: a request
// must not stay behind because its sender waits for the answer.
func (c *Conn) await(ctx context.Context, want Readiness) error {
	if c.yield(want) {
		return nil
	}
	var in, out []byte
	if want&Readable != 0 && c.rcv.err == nil {
		in = c.rcv.space()
	}
	if want&Writable != 0 {
		out = c.rest()
	} else {
		c.readsAlone.Store(true) // before takeKept: see dropHalves
		defer c.readsAlone.Store(false)
		if c.takeKept() {
			defer c.sendHalf.drop()
			out = c.rest()
		}
	}
	return c.move(ctx, in, out)
}

// takeKept takes the sending half if nobody has it and octets are kept back.
func (c *Conn) takeKept() bool {
	if !c.sendHalf.try() {
		return false
	}
	if c.sendHalf.wanted.Load() == 0 && c.kept() && c.sendOpen() {
		return true
	}
	c.sendHalf.drop()
	return false
}

// move makes one blocking transfer, ended by ctx and by Options.Timeout.
func (c *Conn) move(ctx context.Context, in, out []byte) error {
	interrupt := func() { c.link.interrupt(in != nil, in == nil || out != nil) }
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, interrupt)()
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var end time.Time
	if c.opts.Timeout > 0 {
		end = time.Now().Add(c.opts.Timeout)
		defer time.AfterFunc(c.opts.Timeout, interrupt).Stop()
	}
	m := c.link.transfer(in, out, true)
	if in != nil {
		c.rcv.received(m)
	}
	if in == nil || out != nil {
		c.gave(m)
	}
	if m.outErr != nil {
		c.failSend(m.outErr)
	}
	if m.nothing() && !end.IsZero() && !time.Now().Before(end) {
		return &TimeoutError{}
	}
	return nil
}
