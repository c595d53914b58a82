//go:build !linux

package origin

import "net"

// ServePlain serves cleartext HTTP/1.1 on a free port of the loopback
// interface. It calls announce with the address once connections are accepted,
// and returns only on failure.
//
// This costs several times the CPU of what runs on Linux.
func ServePlain(announce func(addr string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	announce(ln.Addr().String())
	return Serve(ln)
}
