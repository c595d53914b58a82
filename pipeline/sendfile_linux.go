package pipeline

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// maxSendfile is the most that one sendfile(2) is asked to move. It is more than
// a turn, for it costs less.
const maxSendfile = 1 << 20

// fileSource is content that sendfile(2) moves from a regular file to a socket
// without its passing through this process.
type fileSource struct {
	f    *os.File
	link *rawLink
	n    int // what the next sendfile is asked to move

	sendfile func(socket int, _ []byte) (int, error) // as rawOp.call
	instead  *stream                                 // reads the file where sendfile(2) does not work
}

// newFileSource returns nil where sendfile(2) cannot be used: f is not a regular
// file, or l is not a plain socket.
func newFileSource(l link, f *os.File) source {
	raw, ok := l.(*rawLink)
	if !ok || !isSocket(raw.nc) {
		return nil
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	file, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	s := &fileSource{f: f, link: raw}
	s.sendfile = func(socket int, _ []byte) (n int, err error) {
		cerr := file.Control(func(fd uintptr) {
			n, err = syscall.Sendfile(socket, int(fd), nil, s.n)
		})
		if cerr != nil {
			return 0, cerr
		}
		return n, err
	}
	return s
}

func (s *fileSource) sendTo(c *Conn, owed int64) (done bool, err error) {
	if s.instead != nil {
		return s.instead.sendTo(c, owed)
	}
	if done, err := c.push(false); !done || err != nil {
		return false, err
	}
	s.n = int(min(owed, maxSendfile))
	n, tried, err := s.link.sendfile(s.sendfile)
	c.mu.Lock()
	c.took(n, n)
	c.mu.Unlock()
	switch {
	case refused(err):
		s.instead = &stream{r: s.f}
		return false, nil
	case err != nil:
		return false, c.failSend(err)
	case tried && n == 0:
		return true, nil // the file is shorter than announced: endContent says so
	case !tried:
		return false, s.keepBack(c, owed)
	}
	return int64(n) == owed, nil
}

// refused reports whether sendfile(2) does not work for this file: some file
// systems do not support it.
func refused(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) ||
		errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EPERM)
}

// keepBack takes a little of the file into memory, so that there is something to
// wait with for room (see partial).
func (s *fileSource) keepBack(c *Conn, owed int64) error {
	p := make([]byte, min(owed, partial))
	n, err := s.f.Read(p)
	if err == io.EOF {
		s.instead = &stream{r: s.f} // which ends at once
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = append(c.next, p[:n]...)
	c.took(n, n)
	return err
}

// sendfile makes one attempt of call in place of a write.
func (l *rawLink) sendfile(call func(int, []byte) (int, error)) (n int, tried bool, err error) {
	write := l.wr.call
	l.wr.call = call
	defer func() { l.wr.call = write }()
	return l.send(nil, false)
}
