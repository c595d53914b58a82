package contestant

import (
	"fmt"
	"io"
	"net"
)

// NewWorker returns a caller with a connection of its own, for uploads.
func (p *rawPump) NewWorker() Worker { return &rawWorker{p: p} }

// A rawWorker writes head and content to its connection, one request at a time.
type rawWorker struct {
	p   *rawPump
	nc  net.Conn
	buf []byte
}

func (w *rawWorker) Do(op *Op) error {
	if w.nc == nil {
		nc, err := w.p.cfg.dialDevice()
		if err != nil {
			return err
		}
		w.nc, w.buf = nc, make([]byte, 4096)
	}
	if err := w.write(op); err != nil {
		return err
	}
	return w.read(op)
}

func (w *rawWorker) write(op *Op) error {
	head := w.p.head(op)
	if op.Upload == nil || op.Mem != nil {
		buffers := net.Buffers{head, op.Mem} // one writev
		_, err := buffers.WriteTo(w.nc)
		return err
	}
	if _, err := w.nc.Write(head); err != nil {
		return err
	}
	r, err := op.Upload()
	if err != nil {
		return err
	}
	n, err := io.Copy(w.nc, r) // sendfile for an *os.File
	if c, ok := r.(io.Closer); ok {
		c.Close()
	}
	if err == nil && n != op.UploadLen {
		err = fmt.Errorf("upload of %d octets, want %d", n, op.UploadLen)
	}
	return err
}

// read reads one response, which has to fit into the buffer.
func (w *rawWorker) read(op *Op) error {
	for n := 0; ; {
		if n == len(w.buf) {
			return errParse
		}
		m, err := w.nc.Read(w.buf[n:])
		if err != nil {
			return err
		}
		n += m
		head, length, err := leastParse(w.buf[:n])
		if err != nil {
			return err
		}
		if head != nil && n >= len(head)+length {
			return checkLength(op, int64(length))
		}
	}
}
