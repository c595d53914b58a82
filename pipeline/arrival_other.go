//go:build unix && !(linux && (amd64 || arm64))

package pipeline

import "time"

// lastArrival is nil: there is no way to ask.
var lastArrival func(fd uintptr) time.Duration
