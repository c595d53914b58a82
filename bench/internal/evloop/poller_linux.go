package evloop

import (
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What to wait for, and what was waited for.
const (
	Readable = unix.EPOLLIN | unix.EPOLLRDHUP
	Writable = unix.EPOLLOUT
	Broken   = unix.EPOLLERR
	HungUp   = unix.EPOLLHUP
)

// backlog is the number of connections the kernel accepts ahead of us. Clients
// that open one connection per caller arrive by the hundred.
const backlog = 4096

// A Poller waits for many sockets at once. It is for one goroutine.
type Poller struct {
	fd     int
	events []unix.EpollEvent
}

// NewPoller returns a Poller that waits for nothing yet.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &Poller{fd: fd, events: make([]unix.EpollEvent, 512)}, err
}

// Add begins to wait for events of the socket fd.
func (p *Poller) Add(fd int, events uint32) error { return p.control(unix.EPOLL_CTL_ADD, fd, events) }

// Set replaces what is waited for.
func (p *Poller) Set(fd int, events uint32) error { return p.control(unix.EPOLL_CTL_MOD, fd, events) }

// Remove stops to wait for the socket fd, also for Broken and HungUp, which are
// otherwise reported unasked.
func (p *Poller) Remove(fd int) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0) }

func (p *Poller) control(op, fd int, events uint32) error {
	return unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Wait waits for events, for at most d, and with the resolution of the kernel's
// timers (epoll_wait would round up to milliseconds). The result is valid until
// the next call.
func (p *Poller) Wait(d time.Duration) ([]unix.EpollEvent, error) {
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("epoll_pwait2: %w", errno)
}

// Listen opens a non-blocking listening socket on a free port of 127.0.0.1.
func Listen() (fd int, addr string, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, "", err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return -1, "", err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return -1, "", err
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port), nil
}

// Accept returns a connection that has arrived, non-blocking and without
// Nagle's algorithm; ok is false when there is none.
func Accept(listener int) (fd int, ok bool) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, false
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return fd, true
}

// Dial connects to addr and returns a socket like Accept's. Connecting blocks,
// which on loopback takes microseconds.
func Dial(addr string) (fd int, err error) {
	ta, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return -1, err
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: ta.Port, Addr: [4]byte(ta.IP.To4())}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return fd, unix.SetNonblock(fd, true)
}

// Read, Write and Drop call the kernel without telling Go's scheduler, because
// on a non-blocking socket they return at once. They return n = -1 and no error
// when the socket can take or give nothing now.

// Read reads into p, which must not be empty. n = 0 means end of file.
func Read(fd int, p []byte) (n int, err error) {
	return raw(syscall.SYS_READ, fd, unsafe.Pointer(&p[0]), len(p), 0)
}

// Write writes p, which must not be empty, or a part of it.
func Write(fd int, p []byte) (n int, err error) {
	return raw(syscall.SYS_WRITE, fd, unsafe.Pointer(&p[0]), len(p), 0)
}

// Drop discards up to n received octets without copying them out of the kernel.
func Drop(fd, n int) (int, error) {
	return raw(syscall.SYS_RECVFROM, fd, nil, n, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
}

func raw(trap uintptr, fd int, p unsafe.Pointer, size int, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(p), uintptr(size), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return -1, nil
		}
		return -1, errno
	}
}
