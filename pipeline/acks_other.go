//go:build !linux

package pipeline

// quickAck is nil: there is no way to ask for an acknowledgement.
var quickAck func(fd uintptr)
