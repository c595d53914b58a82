package httppipe

// A place whose origin speaks another protocol than HTTP/1.1 leaves its requests
// to connections of that. The place only keeps count of them, and hands them to
// those who wait.

// total is how many connections there are, those being dialed included; p.mu is
// held.
func (p *place) total() int { return len(p.conns) + len(p.alts) + p.dialing }

// switchTo takes note that a dial has led to another protocol; p.mu is held.
func (p *place) switchTo(d *dialed) {
	alt := d.alt
	if !d.shared {
		p.alts = append(p.alts, alt)
		alt.watch(func() { p.altChanged(alt) })
	}
	p.assignAlt(alt)
}

// assignAlt gives alt to those who wait, as many as it has room for; p.mu is held.
func (p *place) assignAlt(alt altConn) {
	for room := alt.room(); room > 0; room-- {
		x := p.alone.pop()
		if x == nil {
			x = p.shared.pop()
		}
		if x == nil {
			return
		}
		x.alt = alt
		x.settle()
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
	p.dispatch()
}
