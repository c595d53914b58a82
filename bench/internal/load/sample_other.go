//go:build !linux

package load

import (
	"errors"
	"time"

	"github.com/httppipe/httppipe/bench/internal/result"
)

// supported reports whether this system can be measured on.
func supported() error { return errors.New("measuring needs Linux: getrusage and /proc") }

type sample struct{ at time.Time }

func takeSample() sample { return sample{time.Now()} }

func (s *sample) since(before sample, res *result.Result) {}
