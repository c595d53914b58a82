package pipeline

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/httppipe/httppipe/wire"
)

// A Driver shares one Conn among many goroutines. Each submits a [Call] and
// awaits its response; the requests of callers that arrive together leave in one
// write, and responses are delivered in the order of the requests.
//
// A Driver has no goroutine of its own. A caller hands over what is serialised,
// its own request and those that joined it; whoever waits reads, for itself and
// for everybody before it, and passes that on when it has its answer. A
// goroutine exists only while octets wait for room, or content is produced.
//
// Each half of the connection has at most one owner at a time:
//
//   - The sending half belongs to whoever has set sendBusy. It is given up only
//     when nothing is left to send.
//   - The receiving half belongs to reader's caller, who hands out responses, or
//     to body's, who reads content. Both need a request that is on its way. When
//     none is, the owner of the sending half may look what has arrived: nothing
//     may have.
//   - When the receiving half is free, and a request is on its way, then no
//     caller sleeps who has not been woken to read, except for those who are
//     about to look by themselves: in Await, everybody does before sleeping.
type Driver struct {
	c      Conn
	hooks  Hooks
	memory *Memory
	moved  sync.Cond // broadcast when content that is moved has come; L is &c.mu

	tunnel sync.Mutex // held by Call.Write

	// Guarded by c.mu.
	sendBusy bool    // somebody owns the sending half
	lost     error   // writing has failed, and its owner may not know
	stopped  bool    // nothing more is to be sent, although writing has not failed
	reader   *Call   // whose caller owns the receiving half
	body     *Call   // owns the receiving half: its content is read by its caller
	backlog  []*Call // submitted while content was being sent
	early    *Call   // whose response has ended before its content was sent
	burst    bool    // more than one call was in flight since the last time none was
	overlap  bool    // the same, or so it was the time before
	answered int64   // exchanges whose final response has begun
	dropped  int64   // octets of abandoned content passed over since the last wanted response
	consumed int64   // octets of content that were moved into memory, or read by callers
	patience patience

	// found says that what the owner of the receiving half hands out, whose it is, had
	// arrived before that came for it.
	found bool
}

// Hooks tell the owner of a Driver what happens to it. They are called without
// locks, from whichever goroutine noticed, and must not block.
type Hooks struct {
	// Left, if not nil, is called once for each call that Submit accepted, when
	// nothing of it is left on the connection: its response has ended, and its
	// content is sent or never will be. If Await is still to return then, it
	// returns afterwards.
	Left func(*Call)

	// Ended, if not nil, is called once, when the connection is of no further use,
	// after Left for all calls that were in flight.
	Ended func(error)
}

// NewDriver returns a Driver for nc, which it owns from now on. opts may be nil.
func NewDriver(nc net.Conn, opts *Options, hooks Hooks) *Driver {
	d := &Driver{hooks: hooks}
	d.moved.L = &d.c.mu
	d.c.init(nc, opts)
	d.c.writeFailed = d.writingFailed
	if d.memory = d.c.opts.Memory; d.memory == nil {
		d.memory = new(Memory)
	}
	return d
}

// NetConn returns the connection that the Driver was made with.
func (d *Driver) NetConn() net.Conn { return d.c.nc }

// Close closes the connection. Calls in flight fail; it blames none of them.
func (d *Driver) Close() { d.fail(&ConnectionError{net.ErrClosed}, false) }

// Usable reports whether Submit would accept a call. It takes no lock.
func (d *Driver) Usable() bool { return !d.c.full.Load() }

// Head returns the call whose response comes next, or nil. Which of two calls that
// were submitted at the same time is first, only the Driver knows.
func (d *Driver) Head() *Call {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return d.firstCall()
}

// refusal says why no further call is accepted; c.mu is held.
func (d *Driver) refusal() error {
	if err := d.c.sendFailed(); err != nil {
		return err
	}
	if d.c.lastSaid {
		return ErrRetired
	}
	return nil
}

// Retire lets the connection finish what is in flight, and accept no more. Calls
// that wait for content before them to be sent are not in flight yet.
func (d *Driver) Retire() {
	d.c.mu.Lock()
	d.c.sayLast()
	waiting := d.takeBacklog(ErrRetired)
	idle := d.c.inflight.len() == 0
	d.c.mu.Unlock()
	d.settle(waiting)
	if idle {
		d.fail(&ConnectionError{ErrRetired}, false)
	}
}

// Check looks, without waiting, whether an idle connection has ended or has
// received octets that nobody asked for, and closes it then. It reports whether
// the connection can be used. An idle connection gives back the memory that only
// a busy one needs.
func (d *Driver) Check() bool {
	c := &d.c
	c.mu.Lock()
	usable := d.refusal() == nil
	if !usable || d.sendBusy || c.sending != nil || c.inflight.len() > 0 {
		c.mu.Unlock()
		return usable
	}
	d.sendBusy = true // and with it the receiving half, as nothing is on its way
	c.mu.Unlock()
	if err := c.surplus(); err != nil {
		d.fail(err, true)
		return false
	}
	c.rcv.trim()
	if cap(c.out) > keepBuffer {
		c.out, c.off = nil, 0
	}
	d.sendOn(false, nil) // for calls submitted meanwhile
	return true
}

// usualHead is what the head of a request takes at the most, usually: for so much no
// memory has to be allocated.
const usualHead = 1 << 10

// Submit adds call to the end of the pipeline and hands over what it can, without
// blocking on the connection. After nil, the same goroutine soon calls Await,
// for this call or another, and as long as it waits it may read for others.
// After an error, which is a [*CallError], nothing was sent.
func (d *Driver) Submit(call *Call) error {
	c := &d.c
	err := call.prepare(d)
	// Before the lock is taken: it takes longer than what is done with it, and many
	// callers submit at the same time, while one hands out responses.
	var room [usualHead]byte
	head := wire.AppendRequestHead(room[:0], &call.Request)
	c.mu.Lock()
	if err == nil {
		err = d.refusal()
	}
	if err != nil {
		body, answered := call.takeBody(), d.answered
		held := c.send == sendReady && !d.sendBusy && len(c.next) > 0
		d.sendBusy = d.sendBusy || held
		c.mu.Unlock()
		closeBody(body)
		if held {
			d.sendOn(false, nil) // a call that was to leave with this one
		}
		return &CallError{Err: err, Unsent: true, Answered: answered}
	}
	if c.send != sendReady || len(d.backlog) > 0 {
		d.wait(call)
		c.mu.Unlock()
		return nil
	}
	body := d.begin(call, head)
	hold := call.More && c.send == sendReady
	lead := !d.sendBusy && !hold
	d.sendBusy = d.sendBusy || lead
	call.asleep = call.Prompt && !lead && !hold && !call.Interim // who sends it has somebody read
	together := d.overlap
	c.mu.Unlock()
	closeBody(body)
	if lead {
		if together {
			call.Yielded = yield() // callers that are runnable now join this write
		}
		d.sendOn(false, call)
	}
	return nil
}

// yield lets other goroutines run, and returns how long they did.
func yield() time.Duration {
	before := time.Now()
	runtime.Gosched()
	return time.Since(before)
}

// wait has call wait until the content before it is sent; c.mu is held.
func (d *Driver) wait(call *Call) {
	call.waits = true
	if call.Body == nil && call.isSmall() {
		call.memory.p = bytes.Clone(call.memory.p)
	}
	d.backlog = append(d.backlog, call)
	d.expect()
}

// Await waits for the final response to call, which is then in call.Response and
// can be read by call.Read. If call.Interim is set, it returns earlier with the
// interim responses that have arrived, or when call.Sent has become true, and is
// called again until call.Final.
//
// When ctx or call.Cancel ends it, the call is abandoned. Any other error is a
// [*CallError].
func (d *Driver) Await(ctx context.Context, call *Call) (interim []wire.ResponseHead, err error) {
	c := &d.c
	if call.asleep { // since Submit
		if err := call.sleep(ctx); err != nil {
			return nil, d.abandon(call, err)
		}
	}
	for call.Interim || !call.settled.Load() {
		c.mu.Lock()
		call.asleep = false
		if call.hasNews() {
			interim = call.takeNews()
			// What its caller does with them may take time.
			d.passOn()
			c.mu.Unlock()
			return interim, nil
		}
		if call.state == callAbandoned || call.settled.Load() {
			c.mu.Unlock()
			break
		}
		read := call.state == callWaiting && d.canRead()
		if read {
			d.reader = call
		}
		call.asleep = !read
		c.mu.Unlock()
		if read {
			err = d.read(ctx, call)
		} else {
			err = call.sleep(ctx)
		}
		if err != nil {
			return nil, d.abandon(call, err)
		}
	}
	call.Final = call.err == nil
	return nil, call.err
}

// sleep waits until the Driver wakes the caller; an error says that it should not
// wait any longer.
func (call *Call) sleep(ctx context.Context) error {
	done := ctx.Done()
	if done == nil && call.Cancel == nil {
		<-call.Wake
		return nil
	}
	select {
	case <-call.Wake:
		return nil
	case <-done:
		return context.Cause(ctx)
	case <-call.Cancel:
		return ErrCanceled
	}
}

// firstCall is the call whose turn it is, or nil; c.mu is held.
func (d *Driver) firstCall() *Call {
	if d.c.inflight.len() == 0 {
		return nil
	}
	return d.c.inflight.first().call
}

// asked reports whether a request is on its way that could be answered; c.mu is
// held. As long as none is, nobody but the owner of the sending half may read.
func (d *Driver) asked() bool {
	return d.c.inflight.len() > 0 && d.c.inflight.first().start < d.c.taken()
}

// wanted reports whether anybody waits for a response, or reads one; c.mu is held.
func (d *Driver) wanted() bool {
	if d.body != nil {
		return true
	}
	for i := range d.c.inflight.len() {
		if d.c.inflight.at(i).call.state == callWaiting {
			return true
		}
	}
	return len(d.backlog) > 0
}
