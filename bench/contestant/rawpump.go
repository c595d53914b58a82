package contestant

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

func init() {
	register("rawpump", func(cfg Config) (Contestant, error) { return &rawPump{cfg}, nil })
}

// pumpBuffer is the size of a pump's read buffer: octets.
const pumpBuffer = 256 << 10

// rawPump is what the machine allows in Go, callers left out: per connection one
// goroutine writes ready-made requests in batches, and one reads and finds the
// ends of responses. For uploads see rawWorker.
type rawPump struct{ cfg Config }

func (p *rawPump) head(op *Op) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n", op.method(), op.Path, p.cfg.Addr)
	if op.Upload != nil {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", op.UploadLen)
	}
	return append(b, "\r\n"...)
}

// Pump implements [Pumper].
func (p *rawPump) Pump(op *Op, stop *atomic.Bool, newDone func() func(n int, sent time.Time)) error {
	conns := min(max(1, p.cfg.Conns), p.cfg.Concurrency)
	errs := make([]error, conns)
	var wg sync.WaitGroup
	for i := range conns {
		window := p.cfg.Concurrency / conns
		if i < p.cfg.Concurrency%conns {
			window++
		}
		nc, err := p.cfg.dialDevice()
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer nc.Close()
			errs[i] = newPump(nc, p.head(op), window, newDone()).run(op, stop)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A pump keeps window requests in flight on one connection.
type pump struct {
	nc      net.Conn
	request []byte
	window  int
	done    func(n int, sent time.Time)

	credits chan int       // responses received: so many requests may follow; 0 ends
	sent    chan pumpBatch // requests written, oldest first
	current pumpBatch      // of those, what is not yet answered of the oldest

	buf       []byte
	r, w      int
	remaining int // octets of content still to come
}

type pumpBatch struct {
	n  int
	at time.Time
}

func newPump(nc net.Conn, request []byte, window int, done func(int, time.Time)) *pump {
	return &pump{
		nc: nc, request: request, window: window, done: done,
		credits: make(chan int, window+1),
		sent:    make(chan pumpBatch, window+1),
		buf:     make([]byte, pumpBuffer),
	}
}

func (p *pump) run(op *Op, stop *atomic.Bool) error {
	go p.write()
	defer func() { p.credits <- 0 }()
	for !stop.Load() {
		n, err := p.read(op)
		if err != nil {
			return err
		}
		if n > 0 {
			p.account(n)
			p.credits <- n
		}
	}
	return nil
}

// write writes as many requests at a time as there are credits.
func (p *pump) write() {
	requests := bytes.Repeat(p.request, p.window)
	for n := p.window; n > 0; n = p.takeCredits() {
		p.sent <- pumpBatch{n, time.Now()}
		if _, err := p.nc.Write(requests[:n*len(p.request)]); err != nil {
			return // the reader will see it too
		}
	}
}

// takeCredits waits for credits and takes all that are there. 0 means to end.
func (p *pump) takeCredits() int {
	n := <-p.credits
	for n > 0 {
		select {
		case more := <-p.credits:
			if more == 0 {
				return 0
			}
			n += more
		default:
			return n
		}
	}
	return n
}

// account reports n responses, each with the time its request was written.
func (p *pump) account(n int) {
	for n > 0 {
		if p.current.n == 0 {
			p.current = <-p.sent
		}
		m := min(n, p.current.n)
		p.done(m, p.current.at)
		p.current.n -= m
		n -= m
	}
}

// read reads once and counts the responses that ended.
func (p *pump) read(op *Op) (responses int, err error) {
	if p.r > 0 {
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
	}
	n, err := p.nc.Read(p.buf[p.w:])
	if err != nil {
		return 0, err
	}
	p.w += n
	for {
		if p.remaining > 0 {
			n := min(p.remaining, p.w-p.r)
			p.r += n
			if p.remaining -= n; p.remaining > 0 {
				return responses, nil
			}
			responses++
		}
		head, length, err := leastParse(p.buf[p.r:p.w])
		if head == nil || err != nil {
			return responses, err
		}
		if err := checkLength(op, int64(length)); err != nil {
			return responses, err
		}
		p.r += len(head)
		p.remaining = length
	}
}
