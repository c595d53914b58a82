package pipeline

// An exchange is one request with its responses, and how far they got.
//
// It joins Conn.inflight before its first octet is written, and leaves after
// the last octet of its final response was parsed.
type exchange struct {
	method string
	target string
	call   *Call // whom a Driver tells; nil on a Conn used by itself

	// Places in the stream of octets handed to the link. "Was any of it
	// written?" is a question about the exchange: a connection that failed has
	// written some of them and not others.
	start int64 // of the first octet
	end   int64 // behind the last one; 0 until the request is serialised in full

	// verify says that content of a known length is complete when endContent says
	// so, and not before.
	verify bool

	close bool // the request said Connection: close: nothing follows it
}

// A queue holds exchanges, oldest first. The zero value is empty.
type queue struct {
	ring []*exchange // length is a power of two
	head int
	n    int
}

func (q *queue) len() int           { return q.n }
func (q *queue) at(i int) *exchange { return q.ring[(q.head+i)&(len(q.ring)-1)] }
func (q *queue) first() *exchange   { return q.at(0) }
func (q *queue) last() *exchange    { return q.at(q.n - 1) }

func (q *queue) push(ex *exchange) {
	if q.n == len(q.ring) {
		bigger := make([]*exchange, max(4, 2*q.n))
		for i := range q.n {
			bigger[i] = q.at(i)
		}
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = ex
	q.n++
}

func (q *queue) pop() *exchange {
	ex := q.first()
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return ex
}

// drop takes out the newest exchange.
func (q *queue) drop() {
	q.n--
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = nil
}
