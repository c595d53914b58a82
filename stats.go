package httppipe

import "sync/atomic"

// counters are what Stats counts as it happens.
type counters struct {
	dials, replays, rescues atomic.Int64
}

// Stats is a snapshot of what a Transport does over HTTP/1.1.
type Stats struct {
	Conns    int // connections that are open
	Idle     int // of these, those that carry nothing, and are kept for what comes
	InFlight int // requests on a connection, sent or being sent, not completely answered
	Deepest  int // the most of them on one connection
	Waiting  int // requests that wait for a connection

	Dials   int64 // connections dialed, ever
	Replays int64 // requests sent again, ever, for whatever reason
	Rescues int64 // of these, requests that waited behind a late answer
}

// Stats returns a snapshot. It takes the locks of each origin in turn, so that it
// costs little, and numbers of different origins may be of different moments.
func (t *Transport) Stats() Stats {
	s := Stats{
		Dials:   t.stats.dials.Load(),
		Replays: t.stats.replays.Load(),
		Rescues: t.stats.rescues.Load(),
	}
	for _, p := range t.pool.all() {
		p.mu.Lock()
		for _, c := range p.conns.all {
			s.Conns++
			s.InFlight += c.inFlight
			s.Deepest = max(s.Deepest, c.inFlight)
			if c.isIdle() {
				s.Idle++
			}
		}
		s.Waiting += p.alone.n + p.shared.n
		p.mu.Unlock()
	}
	return s
}

// all returns the places there are.
func (pl *pool) all() []*place {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	places := make([]*place, 0, len(pl.places))
	for _, p := range pl.places {
		places = append(places, p)
	}
	return places
}
