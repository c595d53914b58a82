package httppipe

// A place whose origin speaks another protocol than HTTP/1.1 leaves its requests
// to connections of that. The place only keeps count of them, and hands them to
// those who wait.

// total is how many connections there are, those being dialed included; p.mu is
// held.
func (p *place) total() int { return len(p.conns.all) + len(p.alts) + p.dialing }

// switchTo takes note that a dial has led to another protocol; p.mu is held.
func (p *place) switchTo(d *dialed) {
	alt := d.alt
	if !d.shared {
		p.alts = append(p.alts, alt)
		alt.watch(func() { p.altChanged(alt) })
	}
	if alt.ended() {
		// Nobody told the watcher. Whoever waits longest learns from it why, or
		// connections would be dialed for ever.
		p.alts = without(p.alts, alt)
		p.handOver(alt)
		return
	}
	p.assignAlt(alt)
}

// handOver gives alt to whoever waits longest; p.mu is held. It reports whether
// anybody does.
func (p *place) handOver(alt altConn) bool {
	x := p.alone.pop()
	if x == nil {
		x = p.shared.pop()
	}
	if x == nil {
		return false
	}
	x.alt = alt
	x.settle()
	return true
}

// assignAlt gives alt to those who wait, as many as it has room for; p.mu is held.
func (p *place) assignAlt(alt altConn) {
	for room := alt.room(); room > 0 && p.handOver(alt); room-- {
	}
}

// altChanged is called when alt may have room again, or has ended.
func (p *place) altChanged(alt altConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if alt.ended() {
		p.alts = without(p.alts, alt)
	} else {
		p.assignAlt(alt)
	}
	p.dispatch(clock())
}
