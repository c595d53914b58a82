package evloop

import (
	"container/heap"
	"time"
)

// Deadlines is a queue of items by the time at which each is due.
// The zero value is empty and ready to use.
type Deadlines[T any] struct{ h deadlineHeap[T] }

// Add puts x into the queue, due at at. An item may be in it several times.
func (d *Deadlines[T]) Add(at time.Time, x T) { heap.Push(&d.h, deadline[T]{at, x}) }

// Next returns how long it takes from now until an item is due: never less
// than 0, and never more than most, which is also the answer when the queue is
// empty.
func (d *Deadlines[T]) Next(now time.Time, most time.Duration) time.Duration {
	if len(d.h) == 0 {
		return most
	}
	return min(max(0, d.h[0].at.Sub(now)), most)
}

// Take removes and returns an item that is due at now, the oldest first.
func (d *Deadlines[T]) Take(now time.Time) (x T, ok bool) {
	if len(d.h) == 0 || d.h[0].at.After(now) {
		return x, false
	}
	return heap.Pop(&d.h).(deadline[T]).x, true
}

type deadline[T any] struct {
	at time.Time
	x  T
}

type deadlineHeap[T any] []deadline[T]

func (h deadlineHeap[T]) Len() int           { return len(h) }
func (h deadlineHeap[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlineHeap[T]) Push(x any)        { *h = append(*h, x.(deadline[T])) }
func (h *deadlineHeap[T]) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
