package httppipe

import (
	"cmp"
	"time"
)

// An instant is a point in time on a clock that nobody sets. It is what matters of a
// [time.Time] here: to ask for one takes half as long as [time.Now], which asks two
// clocks, and to compute with it less. The zero value is long before all others.
type instant int64

// firstInstant is when this process began: later than the zero value by more than
// anything lasts.
const firstInstant = instant(100 * 365 * 24 * time.Hour)

var processBegan = time.Now()

// clock returns the present instant.
func clock() instant { return firstInstant.Add(time.Since(processBegan)) }

func (i instant) Add(d time.Duration) instant     { return i + instant(d) }
func (i instant) Sub(other instant) time.Duration { return time.Duration(i - other) }
func (i instant) After(other instant) bool        { return i > other }
func (i instant) Before(other instant) bool       { return i < other }
func (i instant) Compare(other instant) int       { return cmp.Compare(i, other) }
func (i instant) IsZero() bool                    { return i == 0 }
