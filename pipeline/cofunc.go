package pipeline

import (
	"context"
	"io"

	"github.com/httppipe/httppipe/wire"
)

// A Cofunc is a send that can be suspended and resumed. It suspends as soon as
// response data has arrived, so that one goroutine can send without limit and
// never deadlock: whoever resumes it reads first.
//
//	send := conn.Send(req)
//	for send.Next() { // suspended: octets of a final response have arrived
//		readSome(conn)
//	}
//	if err := send.Err(); err != nil {
//		return err
//	}
//
// It can be resumed from anywhere, but by one goroutine at a time, and one
// cofunction of a Conn has to be done before the next is resumed.
type Cofunc struct {
	c     *Conn
	ctx   context.Context
	state cofuncState
	err   error

	ex      *exchange
	head    *wire.RequestHead
	hold    bool
	file    io.Reader // what SendFile was given
	content source

	suspended bool
	parsed    int64 // c.rcv.parsed when it suspended
}

type cofuncState uint8

const (
	cofuncHead    cofuncState = iota // nothing is sent
	cofuncFile                       // the same, and there is content only
	cofuncContent                    // the head is serialised, content is not
	cofuncFlush                      // all is serialised
	cofuncDone
)

// Progress is what [Cofunc.Step] found.
type Progress uint8

const (
	Done           Progress = iota // all octets are handed over, or Err says why not
	ResponseWaits                  // octets of a final response, the end, or an error can be read
	SendWouldBlock                 // neither
)

// WithContext makes ctx end the waits of f, and returns f.
func (f *Cofunc) WithContext(ctx context.Context) *Cofunc {
	f.ctx = ctx
	return f
}

// Err returns why the sending failed; nil as long as it has not. If it is the
// context or [Options.Timeout] that has ended a wait, f can be resumed again.
func (f *Cofunc) Err() error { return f.err }

// Each resumes f until it is done, and calls yield whenever it is suspended:
//
//	for range send.Each {
//		readSome(conn)
//	}
func (f *Cofunc) Each(yield func() bool) {
	for f.Next() {
		if !yield() {
			return
		}
	}
}

// Next resumes f. It waits until all octets are handed over, or the sending has
// failed, and returns false; or until octets of a final response, the end of
// the connection, or an error are there to be read, and returns true. Interim
// responses are consumed: to suspend for them would make the caller wait for a
// final response in the middle of an upload.
//
// Resumed without a read in between, f sends on what it can, and suspends again
// when it cannot.
func (f *Cofunc) Next() bool {
	ctx := f.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	if f.err = f.ended(ctx); f.err != nil {
		return false
	}
	f.c.takeHalves(both)
	defer f.c.dropHalves(both)
	for {
		switch f.step() {
		case Done:
			return false
		case ResponseWaits:
			return true
		}
		if f.err = f.c.await(ctx, both); f.err != nil {
			return false
		}
	}
}

// ended says why f is not to be resumed, if so.
func (f *Cofunc) ended(ctx context.Context) error {
	if f.state == cofuncDone {
		return f.err
	}
	return context.Cause(ctx)
}

// Step does what can be done now, without waiting: [Conn.Poll] tells a caller
// with an event loop of its own when to call it again.
func (f *Cofunc) Step() Progress {
	f.c.takeHalves(both)
	defer f.c.dropHalves(both)
	return f.step()
}

// step is Step for those who have both halves.
func (f *Cofunc) step() Progress {
	if f.state == cofuncDone {
		return Done
	}
	f.err = nil
	ignored := f.suspended && f.parsed == f.c.rcv.parsed
	f.suspended = false
	for {
		if !ignored && !f.isFirst() && f.c.readable() {
			return f.suspend()
		}
		done, err := f.advance()
		switch {
		case done || err != nil:
			f.finish(err)
			return Done
		case !f.c.kept():
		case f.c.readable():
			return f.suspend()
		default:
			return SendWouldBlock
		}
	}
}

// isFirst reports whether there is nothing yet that a response could answer: start
// looks at what has arrived by then.
func (f *Cofunc) isFirst() bool { return f.state == cofuncHead && !f.c.Pending() }

func (f *Cofunc) suspend() Progress {
	f.suspended, f.parsed = true, f.c.rcv.parsed
	return ResponseWaits
}

func (f *Cofunc) finish(err error) { f.err, f.state = err, cofuncDone }

// run runs f to its end without looking at responses.
func (f *Cofunc) run(ctx context.Context) error {
	if err := f.ended(ctx); err != nil {
		return err
	}
	f.c.takeHalves(both)
	err := f.begin() // which looks for octets that nobody asked for
	f.c.dropHalves(Readable)
	defer f.c.dropHalves(Writable)
	for done := false; !done && err == nil; {
		if done, err = f.advance(); !done && err == nil && f.c.kept() {
			err = f.c.move(ctx, nil, f.c.rest())
		}
	}
	if err != nil && f.state == cofuncContent {
		f.c.failSend(err) // the rest of the content is lost
	}
	f.finish(err)
	return err
}

// advance sends a turn, without waiting. It reports done when all octets are
// handed over; if they are not, and nothing is kept back, it can go on at once.
func (f *Cofunc) advance() (done bool, err error) {
	if err := f.begin(); err != nil {
		return false, err
	}
	if f.state == cofuncContent {
		if done, err := f.c.sendSource(f.content); !done || err != nil {
			return false, err
		}
		f.state = cofuncFlush
	}
	return f.c.push(false)
}

// begin serialises the head, and makes the source of the content, once.
func (f *Cofunc) begin() (err error) {
	switch f.state {
	case cofuncHead:
		if err := f.c.start(f.ex, f.head, f.hold); err != nil {
			return err
		}
		f.state = cofuncFlush
		if f.content != nil {
			f.state = cofuncContent
		}
	case cofuncFile:
		if f.content, err = f.c.fileContent(f.file); err != nil {
			return err
		}
		f.state = cofuncContent
	}
	return nil
}

// fileContent makes a source of what SendFile was given. If no content is owed, r
// has to be empty.
func (c *Conn) fileContent(r io.Reader) (source, error) {
	c.mu.Lock()
	owed, state := c.owed, c.send
	c.mu.Unlock()
	if state == sendReady {
		if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
			return nil, &StateError{"SendFile", "no content is owed"}
		}
	}
	return newSource(c, r, owed), nil
}

// start serialises the head of a request, if one may be sent now. Octets that
// arrived with nothing in flight are never taken for its answer. Both halves are
// the caller's.
func (c *Conn) start(ex *exchange, head *wire.RequestHead, hold bool) error {
	if !c.Pending() {
		if err := c.surplus(); err != nil {
			c.fail(err)
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sendFailed(); err != nil {
		return err
	}
	switch {
	case c.send != sendReady:
		return &StateError{"Send", "the request before it is not complete"}
	case c.lastSaid:
		return &ConnectionError{ErrRetired}
	}
	c.begin(ex, head, nil, hold)
	return nil
}
