//go:build linux && (amd64 || arm64) && !race && !msan && !asan

package pipeline

import (
	"syscall"
	"unsafe"
)

// writeSocket is a write of which the scheduler is not told. It does not wait, and so
// is over before the scheduler could make use of that; but to tell it, a caller who is
// alone would wake the runtime's monitor each time: 15 % more CPU time for each request.
// MSG_DONTWAIT is for sockets that somebody has made blocking.
//
// The scheduler is told of reads. If nobody wakes the monitor at all, a virtual machine
// puts its cores to sleep between two requests, and takes 0.1 ms to wake them.
//
// The detectors of races and of memory errors see what package syscall does.
func writeSocket(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO,
		uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
