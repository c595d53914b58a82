//go:build linux && !race && !msan && !asan

package pipeline

import (
	"syscall"
	"unsafe"
)

// readSocket and writeSocket are system calls of which the scheduler is not told. They
// do not wait, and so are over before it could make use of that; but to tell it, a
// caller who is alone would wake one more thread each time.
//
// The detectors of races and of memory errors see what package syscall does.
func readSocket(fd int, p []byte) (int, error)  { return moveOctets(syscall.SYS_READ, fd, p) }
func writeSocket(fd int, p []byte) (int, error) { return moveOctets(syscall.SYS_WRITE, fd, p) }

func moveOctets(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
