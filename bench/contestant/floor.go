package contestant

import (
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
)

// The devices in floor*.go answer one question: what does a blocking RoundTrip
// cost at the least when goroutines share pipelined connections? A real
// *http.Request goes in and is serialised, a real *http.Response with its whole
// Header map and Body comes out. There is nothing else.
//
//	limit-rt     a goroutine per connection reads
//	limit-rt-lf  a waiting caller reads, serves the others, and passes the role
//	             on (leader and followers): far cheaper for a lone caller
func init() {
	register("limit-rt", func(cfg Config) (Contestant, error) {
		return roundTripper(newFloor(cfg, false), cfg), nil
	})
	register("limit-rt-lf", func(cfg Config) (Contestant, error) {
		return roundTripper(newFloor(cfg, true), cfg), nil
	})
}

// largeContent is the length above which content is read into memory of its
// own, instead of being copied out of the connection's buffer: octets.
const largeContent = 4096

type floor struct {
	cfg          Config
	callersRead  bool // limit-rt-lf
	slots        []floorSlot
	next         atomic.Uint32 // where to begin looking for the least loaded slot
	calls        sync.Pool     // of *floorCall
	largeContent sync.Pool     // of *[]byte
}

// A floorSlot is a place for a connection, dialled when first needed.
type floorSlot struct {
	dial sync.Once
	conn atomic.Pointer[floorConn]
}

func newFloor(cfg Config, callersRead bool) *floor {
	f := &floor{cfg: cfg, callersRead: callersRead, slots: make([]floorSlot, max(1, cfg.Conns))}
	f.calls.New = func() any { return &floorCall{woken: make(chan struct{}, 1)} }
	f.largeContent.New = func() any { return new([]byte) }
	return f
}

// A floorCall is one call of RoundTrip. Its other fields belong to the caller
// again once woken has been received from, or done is set.
type floorCall struct {
	req   *http.Request
	resp  *http.Response
	err   error
	lead  bool // woken in order to read, not because the response is there
	done  bool // answered; guarded by the connection's mu
	woken chan struct{}
}

func (f *floor) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := f.conn()
	if err != nil {
		return nil, err
	}
	call := f.calls.Get().(*floorCall)
	call.req, call.done = req, false
	err = c.do(call)
	resp := call.resp
	call.req, call.resp, call.err = nil, nil, nil
	f.calls.Put(call)
	return resp, err
}

// conn returns the connection with the fewest requests in flight.
func (f *floor) conn() (*floorConn, error) {
	best, least := 0, int32(math.MaxInt32)
	begin := int(f.next.Add(1))
	for i := range f.slots {
		j := (begin + i) % len(f.slots)
		var n int32
		if c := f.slots[j].conn.Load(); c != nil {
			n = c.inFlight.Load()
		}
		if n < least {
			best, least = j, n
		}
		if n == 0 {
			break
		}
	}
	slot := &f.slots[best]
	var err error
	slot.dial.Do(func() {
		nc, err1 := f.cfg.dialDevice()
		if err = err1; err == nil {
			slot.conn.Store(newFloorConn(f, nc))
		}
	})
	if err != nil {
		return nil, err
	}
	c := slot.conn.Load()
	if c == nil {
		return nil, io.ErrClosedPipe // another caller's dial failed
	}
	return c, nil
}
