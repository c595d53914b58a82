//go:build unix

package pipeline

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxRaw is the most that one system call is asked to move: some systems refuse
// more than fits into 31 bits.
const maxRaw = 1 << 30

// A rawOp is one direction of a rawLink. Its function values are made once, so
// that a call allocates nothing.
//
// An attempt that must not wait goes around the poller, and so around
// deadlines: one in the past fails before it tries, and would be taken back by
// somebody it was not meant for.
type rawOp struct {
	now      func(func(fd uintptr)) error      // syscall.RawConn's Control
	wait     func(func(fd uintptr) bool) error // syscall.RawConn's Read or Write
	call     func(fd int, p []byte) (int, error)
	deadline func(time.Time) error

	once  func(fd uintptr)      // attempt, as now wants it
	again func(fd uintptr) bool // attempt, as wait wants it
	idle  func()                // called before a wait, if not nil

	// Arguments and results of the attempt.
	p       []byte
	n       int
	tried   bool // the attempt had a result, other than "would block"
	blocked bool // an attempt had none
	err     error

	attempting sync.Mutex // held during a system call
	failed     error      // the first error of one; guarded by attempting

	// mu orders the deadline in the past, by which an interrupt works, and its
	// removal.
	mu          sync.Mutex
	interrupted bool
	retired     bool // interrupts have no effect any more
}

func (op *rawOp) init(now func(func(uintptr)) error, wait func(func(uintptr) bool) error,
	call func(int, []byte) (int, error), deadline func(time.Time) error) {
	op.now, op.wait, op.call, op.deadline = now, wait, call, deadline
	op.once = func(fd uintptr) { op.attempt(int(fd)) }
	op.again = func(fd uintptr) bool {
		op.attempt(int(fd))
		if !op.tried && op.idle != nil {
			op.idle()
		}
		return op.tried
	}
}

// attempt makes the system call.
func (op *rawOp) attempt(fd int) {
	op.attempting.Lock()
	defer op.attempting.Unlock()
	for {
		op.n, op.err = op.call(fd, op.p)
		switch op.err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			op.n, op.err, op.blocked = 0, nil, true
			return
		case nil:
		default:
			if op.failed == nil {
				op.failed = op.err
			}
		}
		op.tried = true
		return
	}
}

// do makes one attempt with p, or, if block is set, waits until one has a
// result. Otherwise tried is false: it would block, or was interrupted.
func (op *rawOp) do(p []byte, block bool) (n int, tried bool, err error) {
	op.p, op.tried, op.blocked, op.n, op.err = p[:min(len(p), maxRaw)], false, false, 0, nil
	if block {
		err = op.wait(op.again)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = op.resume(err)
		}
	} else {
		err = op.now(op.once)
	}
	op.p = nil
	if err == nil {
		err = op.err
	}
	return max(op.n, 0), op.tried, err
}

// failure is the first error of an attempt. An attempt in progress is waited
// for, which takes no time.
func (op *rawOp) failure() error {
	op.attempting.Lock()
	defer op.attempting.Unlock()
	return op.failed
}

// interrupt ends the wait in progress, or the next one.
func (op *rawOp) interrupt() {
	op.mu.Lock()
	defer op.mu.Unlock()
	if !op.retired {
		op.interrupted = true
		op.deadline(aLongTimeAgo)
	}
}

// resume makes the direction usable again after an interrupt. A deadline that
// was set on the net.Conn from outside is an error, err.
func (op *rawOp) resume(err error) error {
	op.mu.Lock()
	defer op.mu.Unlock()
	if !op.interrupted {
		return err
	}
	op.interrupted = false
	return op.deadline(time.Time{})
}

// clear takes back an interrupt that found nobody waiting.
func (op *rawOp) clear() {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.interrupted {
		op.interrupted = false
		op.deadline(time.Time{})
	}
}

// retire takes back an interrupt and has no more of them.
func (op *rawOp) retire() {
	op.mu.Lock()
	op.retired = true
	op.mu.Unlock()
	op.clear()
}
