package httppipe

import (
	"math/bits"
	"time"
)

// A contention compares the service while few connections are busy with the service
// while many are. If it grows as they do, they contend for something that they share:
// the origin's only thread, its disk, the line, the cores of this machine. More of
// them answer no more then, and only make each write smaller.
//
// Without that comparison there would be no end to it: whatever is shared by more
// takes longer on each, which looks like a reason for yet another.
type contention struct {
	services [10]busyService // with 1, 2 or 3, 4 to 7, ... busy connections
	seen     int             // of all of them
	enough   int             // more busy connections are of no use; 0: not known
}

// A busyService is the mean of the services that were seen while about as many
// connections were busy.
type busyService struct {
	mean time.Duration
	seen int // up to contentionMemory
	last int // the contention's count then
}

const (
	// contentionMemory is how many services such a mean is taken over, about; half
	// as many are needed to judge by it.
	contentionMemory = 64

	// contentionValid is how many services may have been seen since by others.
	contentionValid = 1 << 16

	// contentionEvery is how many services are seen until it is judged anew.
	contentionEvery = 16
)

// learn takes note of a service that was seen while so many connections were busy.
func (c *contention) learn(busy int, service time.Duration) {
	c.seen++
	s := &c.services[min(bits.Len(uint(max(busy, 1))), len(c.services))-1]
	s.seen = min(s.seen+1, contentionMemory)
	s.last = c.seen
	s.mean += (service - s.mean) / time.Duration(s.seen)
	if c.seen%contentionEvery == 0 {
		c.judge()
	}
}

// judge finds the fewest connections that are enough: with more of them, each service
// was longer by three quarters of their ratio at least. Where services are long that is
// not worth a guess, as they take more than any write.
func (c *contention) judge() {
	c.enough = 0
	for few := range c.services {
		if !c.known(few) || c.services[few].mean > minQueue {
			continue
		}
		for many := few + 1; many < len(c.services); many++ {
			if c.known(many) && c.services[many].mean > c.services[few].mean*3/4<<(many-few) {
				c.enough = 1 << few
				return
			}
		}
	}
}

// beyond reports whether so many busy connections are more than are of use.
func (c *contention) beyond(busy int) bool { return c.enough > 0 && busy > c.enough }

// known reports whether the i-th service can be judged by.
func (c *contention) known(i int) bool {
	s := &c.services[i]
	return s.seen >= contentionMemory/2 && c.seen-s.last < contentionValid
}
