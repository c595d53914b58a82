//go:build linux && (amd64 || arm64)

package pipeline

import (
	"syscall"
	"time"
	"unsafe"
)

// lastArrival returns how long ago the last octets came, in the ticks of the operating
// system's clock, which are of 1 to 10 ms. It is 0 for what is no TCP socket.
var lastArrival = func(fd uintptr) time.Duration {
	var info [56]byte // as much of struct tcp_info as is needed
	size := uint32(len(info))
	const at = len(info) - 4 // tcpi_last_data_recv, in milliseconds
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || int(size) < len(info) {
		return 0
	}
	return time.Duration(*(*uint32)(unsafe.Pointer(&info[at]))) * time.Millisecond
}
