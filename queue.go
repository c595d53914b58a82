package httppipe

// An exchangeQueue holds exchanges that wait, oldest first. Who waits again, after
// an attempt that failed, has its old place.
type exchangeQueue struct {
	first, last *exchange
	undialed    *exchange // the oldest for whom no dial was begun
	n           int
}

func (q *exchangeQueue) push(x *exchange) {
	q.n++
	before := q.last
	for before != nil && before.arrived.After(x.arrived) {
		before = before.before
	}
	x.before, x.behind = before, q.first
	if before != nil {
		x.behind = before.behind
		before.behind = x
	} else {
		q.first = x
	}
	if x.behind != nil {
		x.behind.before = x
	} else {
		q.last = x
	}
	if !x.dials && (q.undialed == nil || x.arrived.Before(q.undialed.arrived)) {
		q.undialed = x
	}
}

// dial takes note that a dial was begun for x.
func (q *exchangeQueue) dial(x *exchange) {
	x.dials = true
	if q.undialed == x {
		q.undialed = x.nextUndialed()
	}
}

// nextUndialed returns the oldest behind x for whom no dial was begun, or nil.
func (x *exchange) nextUndialed() *exchange {
	for x = x.behind; x != nil && x.dials; x = x.behind {
	}
	return x
}

func (q *exchangeQueue) pop() *exchange {
	x := q.first
	if x != nil {
		q.remove(x)
	}
	return x
}

func (q *exchangeQueue) remove(x *exchange) {
	q.n--
	if q.undialed == x {
		q.undialed = x.nextUndialed()
	}
	if x.before != nil {
		x.before.behind = x.behind
	} else {
		q.first = x.behind
	}
	if x.behind != nil {
		x.behind.before = x.before
	} else {
		q.last = x.before
	}
	x.before, x.behind = nil, nil
}
