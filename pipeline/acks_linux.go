package pipeline

import "syscall"

// quickAck sends the acknowledgement that is due, if any; those that follow may come
// without delay too. On what is no TCP socket it does nothing.
var quickAck = func(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
