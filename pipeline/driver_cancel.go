package pipeline

import (
	"context"
	"slices"
	"time"
)

// cancelDelay is how long a wait for the connection takes before somebody looks
// at Call.Cancel. Most answers come sooner, and save the goroutine for that.
const cancelDelay = 2 * time.Millisecond

// ended says why nobody waits for call any more.
func (call *Call) ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-call.Cancel:
		return ErrCanceled
	default:
		return nil
	}
}

// watch has the end of ctx or call.Cancel interrupt a read. The function returned
// stops that; it is nil if there is nothing to watch.
func (d *Driver) watch(ctx context.Context, call *Call) (stop func() bool) {
	if call.Cancel == nil && ctx.Done() == nil {
		return nil
	}
	interrupt := func() { d.c.link.interrupt(true, false) }
	if call.Cancel == nil {
		return context.AfterFunc(ctx, interrupt)
	}
	cancel, stopped := call.Cancel, make(chan struct{})
	timer := time.AfterFunc(cancelDelay, func() {
		select {
		case <-cancel:
			interrupt()
		case <-ctx.Done():
			interrupt()
		case <-stopped:
		}
	})
	return func() bool {
		close(stopped)
		return timer.Stop()
	}
}

// Abandon gives call up because of err, as the end of its context would: Await
// returns err, and so does a Read of its content. It may be called from any
// goroutine, at any time after Submit.
func (d *Driver) Abandon(call *Call, err error) {
	call.CloseWithError(err) // before abandon closes it
	d.abandon(call, err)
	d.c.mu.Lock()
	reading := d.reader == call
	d.c.mu.Unlock()
	if reading {
		d.c.link.interrupt(true, false)
	}
	call.wake()
}

// Withdraw is Abandon for a call that still waits for its final response: Await
// returns err. It reports whether it did; otherwise nothing has changed.
func (d *Driver) Withdraw(call *Call, err error) bool {
	d.c.mu.Lock()
	waiting := call.state == callWaiting && !call.waits
	if waiting {
		call.state, call.err = callAbandoned, err
	}
	reading := d.reader == call
	d.expect()
	d.passOn()
	d.c.mu.Unlock()
	if reading {
		d.c.link.interrupt(true, false)
	}
	if waiting {
		call.wake()
	}
	return waiting
}

// abandon gives call up because of err, which it returns. If its response has
// begun meanwhile, that is closed. What of it is on its way is dropped by those
// who wait behind it. If there are none, or the request is not complete, the
// connection ends, when those before it have their answers.
func (d *Driver) abandon(call *Call, err error) error {
	c := &d.c
	c.mu.Lock()
	if call.state != callWaiting {
		begun := call.state == callBody
		c.mu.Unlock()
		if begun {
			call.Close()
		}
		return err
	}
	call.state, call.err = callAbandoned, err
	body := call.takeBody()
	gone := call.waits && d.unwait(call)
	var behind []*Call
	if c.sending == &call.exchange {
		behind = d.cutOff(call)
	}
	broken := !gone && !d.wanted()
	d.expect()
	d.passOn()
	c.mu.Unlock()
	closeBody(body)
	d.settle(behind)
	if gone {
		d.tellLeft(call)
	}
	if broken {
		d.fail(&ConnectionError{ErrRetired}, false)
	}
	return err
}

// cutOff gives up call, whose request is sent in part, and those who wait for the
// rest of it: nothing can follow half a request. Those before it, which have no part
// in it, may still be answered. c.mu is held. The caller settles those returned.
func (d *Driver) cutOff(call *Call) []*Call {
	c := &d.c
	if c.closed || c.inflight.len() == 0 || c.inflight.last() != &call.exchange {
		return nil // it has left already
	}
	c.inflight.drop()
	c.sayLast()
	call.upload = nil
	d.stopSending(call.start)
	return append([]*Call{call}, d.takeBacklog(&ConnectionError{ErrRetired})...)
}

// unwait takes call out of the backlog; c.mu is held. It reports whether it was
// there.
func (d *Driver) unwait(call *Call) bool {
	i := slices.Index(d.backlog, call)
	if i < 0 {
		return false // the connection has ended, and its calls are about to be told
	}
	d.backlog = slices.Delete(d.backlog, i, i+1)
	return true
}
