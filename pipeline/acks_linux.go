package pipeline

import "syscall"

// quickAck sends the acknowledgement that is due, if any, and those that follow without
// delay, until the connection looks interactive again. On what is no TCP socket it does
// nothing.
var quickAck = func(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
