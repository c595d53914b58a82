package evloop

import (
	"slices"
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	var d Deadlines[string]
	t0 := time.Now()
	if got := d.Next(t0, time.Second); got != time.Second {
		t.Errorf("Next of an empty queue: %v", got)
	}
	d.Add(t0.Add(3), "c")
	d.Add(t0.Add(1), "a")
	d.Add(t0.Add(2), "b")
	d.Add(t0.Add(9), "later")
	if got := d.Next(t0, time.Second); got != 1 {
		t.Errorf("Next = %v, want 1ns", got)
	}
	if got := d.Next(t0.Add(time.Hour), time.Second); got != 0 {
		t.Errorf("Next when overdue = %v, want 0", got)
	}
	var got []string
	for {
		x, ok := d.Take(t0.Add(3))
		if !ok {
			break
		}
		got = append(got, x)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("taken: %q, want %q", got, want)
	}
	if got := d.Next(t0.Add(3), 2); got != 2 {
		t.Errorf("Next = %v, want no more than 2ns", got)
	}
}
