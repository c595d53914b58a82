//go:build !unix

package pipeline

import "net"

// isRaw returns false: this system's sockets are served by pumpLink.
func isRaw(net.Conn) bool { return false }

func newRawLink(net.Conn) link { return nil }
