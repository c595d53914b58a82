package pipeline

import "github.com/httppipe/httppipe/wire"

// Content that its caller does not read holds up those behind it. After moveWait it
// is moved into memory, if it is little and there is some: by a goroutine, which
// reads as its caller would. Else those behind wait until stallWait has passed, and
// are sent elsewhere. For those that cannot go, all of it is moved that there is memory
// for: see driver_stay.go.

// isMovable reports whether the content of call, which its caller is to read, has
// not been tried to be moved, and may fit; c.mu is held.
func (call *Call) isMovable() bool {
	if call.body.tried {
		return false
	}
	switch call.Framing.Kind {
	case wire.Chunked:
		return true // the beginning does, at least
	case wire.Length:
		return call.Framing.Length <= maxInMemory
	}
	return false
}

// beginMoving begins to move the content of call, unless its caller is reading: then
// it is the origin that is slow. c.mu is held.
func (d *Driver) beginMoving(call *Call) {
	b := &call.body
	b.tried = true
	if b.reading || b.gone || b.moving {
		return
	}
	if b.stalled {
		b.moving = d.addRoom(b)
	} else {
		b.moving = d.takeRoom(call)
	}
	if b.moving {
		go d.move(call)
	}
}

// takeRoom takes memory for as much of call's content as is moved for anybody, and
// reports whether there was any; c.mu is held.
func (d *Driver) takeRoom(call *Call) (ok bool) {
	b := &call.body
	size := maxInMemory
	if call.Framing.Kind == wire.Length {
		size = int(call.Framing.Length)
	}
	mem, ok := d.memory.get(size)
	if !ok {
		return false
	}
	mem.p = append(mem.p, b.mem.p...)
	b.mem.Release()
	b.mem = mem
	return true
}

// addRoom adds memory for content that is moved, and reports whether there was any;
// c.mu is held.
func (d *Driver) addRoom(b *body) (ok bool) {
	more, ok := d.memory.get(maxInMemory)
	switch {
	case !ok:
	case b.mem.Len() == 0:
		b.mem.Release()
		b.mem = more
	default:
		b.rest = append(b.rest, more)
	}
	return ok
}

// last is where content is moved to; c.mu is held.
func (b *body) last() *Content {
	if n := len(b.rest); n > 0 {
		return &b.rest[n-1]
	}
	return &b.mem
}

// used goes on to the next memory when all of mem was read; c.mu is held.
func (b *body) used() {
	switch {
	case b.mem.Len() > 0:
	case len(b.rest) > 0:
		b.mem.Release()
		b.mem, b.rest = b.rest[0], b.rest[1:]
	case !b.moving:
		b.mem.Release()
	}
}

// release gives all memory back; c.mu is held.
func (b *body) release() {
	b.mem.Release()
	for i := range b.rest {
		b.rest[i].Release()
	}
	b.rest = nil
}

// move moves content of call until that ends, or there is no more room, or the
// connection is taken from under it.
func (d *Driver) move(call *Call) {
	for {
		room := d.continueMoving(call)
		if room == nil {
			return
		}
		n, done, err := d.c.readContent(room, true)
		d.endRead(call, n, done, err)
	}
}

// continueMoving claims the receiving half, and returns where to read to; or it ends
// the moving, and returns nil. Meanwhile octets may be taken from the front of the
// memory, but it is not given back.
func (d *Driver) continueMoving(call *Call) (room []byte) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	b := &call.body
	if call.state == callBody && !b.gone && (len(b.last().room()) > 0 || b.stalled && d.addRoom(b)) {
		b.reading = true
		return b.last().room()
	}
	b.moving = false
	if b.closed != nil || b.mem.Len() == 0 {
		b.release()
	}
	d.expect()
	d.moved.Broadcast()
	return nil
}

// awaitMoved waits, while content of call is moved, until some of it is there, or
// Read has something else to return; c.mu is held.
func (d *Driver) awaitMoved(b *body) {
	for b.moving && b.mem.Len() == 0 && b.err == nil && b.closed == nil {
		d.moved.Wait()
	}
}
