package pipeline

// Calls that may not be sent again as long as their connection lives, or never, are
// bound to it once any of them is sent. If content before them is not read, they stay,
// and all of it is moved into memory that there is room for; if there is none, they
// wait for its caller to read on. Only who waits in vain for stayWait fails.

// bound is how many exchanges keep their places on the connection for the sake of the
// last of them, which may not be sent again earlier than least says: 0 if there is no
// such call behind the oldest one that still waits for its response. c.mu is held.
func (d *Driver) bound(least Repeat) int {
	c := &d.c
	for i := c.inflight.len() - 1; i > 0; i-- {
		ex := c.inflight.at(i)
		if ex.call.Repeat >= least && ex.call.state == callWaiting && ex.start < c.taken() {
			return i + 1
		}
	}
	return 0
}

// stall has those go elsewhere who wait behind call, whose content is not read on. If
// there are some that cannot, the content is moved out of their way; nothing else is
// sent behind them. c.mu is held. The caller settles those returned.
func (d *Driver) stall(call *Call) (gone []*Call) {
	keep := d.bound(RepeatAfter)
	if keep == 0 {
		return d.takeAllBehind()
	}
	for i := 1; i < keep; i++ {
		if other := d.c.inflight.at(i).call; other.state == callWaiting && other.Repeat == RepeatAnytime {
			other.state = callAbandoned
			other.err = &CallError{Err: ErrStalled, Answered: d.answered}
			other.wake()
		}
	}
	gone = d.takeBehind(keep, ErrStalled)
	call.body.stalled = true
	d.beginMoving(call)
	d.expect()
	return gone
}

// holdOn looks whether the content of call gets on, and tries again to move it: by now
// there may be memory. c.mu is held. The caller settles those returned.
func (d *Driver) holdOn(call *Call) (gone []*Call) {
	b := &call.body
	if b.idle++; d.consumed > d.patience.consumed {
		b.idle = 0
	}
	if b.idle >= int(stayWait/stayTick) {
		return d.takeAllBehind()
	}
	d.beginMoving(call)
	d.expect()
	return nil
}

// takeAllBehind fails all calls behind the oldest one, whose content is not read; c.mu
// is held. The caller settles them.
func (d *Driver) takeAllBehind() []*Call {
	d.c.closing = true
	return d.takeBehind(1, ErrStalled)
}
