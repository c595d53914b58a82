//go:build !linux

package delay

import (
	"errors"
	"time"
)

// Serve forwards connections to backend with a delay. It needs Linux: elsewhere
// timers are too coarse, or cost too much, for a proxy beside the client.
func Serve(backend string, roundTrip time.Duration, announce func(addr string)) error {
	return errors.New("the delay proxy needs Linux (epoll_pwait2)")
}
