package delay

import (
	"testing"
	"time"
)

var t0 = time.Unix(1e9, 0)

// at is a time some milliseconds after t0.
func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

func TestQueueDelays(t *testing.T) {
	q := queue{delay: 10 * time.Millisecond}
	q.put([]byte("first"), at(0))
	q.put([]byte("second"), at(4))
	if b, _ := q.front(at(9)); b != nil {
		t.Fatalf("%q is early", b)
	}
	if due, ok := q.next(); !ok || !due.Equal(at(10)) {
		t.Fatalf("next: %v %v", due, ok)
	}
	b, last := q.front(at(10))
	if string(b) != "first" || last {
		t.Fatalf("front: %q %v", b, last)
	}
	q.sent(3)
	if b, _ := q.front(at(10)); string(b) != "st" {
		t.Fatalf("after a partial write: %q", b)
	}
	q.sent(2)
	if b, _ := q.front(at(13)); b != nil {
		t.Fatalf("%q is early", b)
	}
	if b, _ := q.front(at(14)); string(b) != "second" {
		t.Fatalf("front: %q", b)
	}
}

// TestQueueDoesNotLimitThroughput: whatever arrived together is due together.
func TestQueueDoesNotLimitThroughput(t *testing.T) {
	q := queue{delay: 10 * time.Millisecond}
	for range 1000 {
		q.put(make([]byte, 64<<10), at(0))
	}
	if q.full() {
		t.Error("full with 64 MiB on the way")
	}
	total := 0
	for {
		b, _ := q.front(at(10))
		if b == nil {
			break
		}
		total += len(b)
		q.sent(len(b))
	}
	if total != 1000*64<<10 || q.size != 0 {
		t.Errorf("%d octets due together, %d left", total, q.size)
	}
}

func TestQueueHandshake(t *testing.T) {
	q := queue{delay: 10 * time.Millisecond, notBefore: at(20)}
	q.put([]byte("x"), at(1))
	if due, _ := q.next(); !due.Equal(at(30)) {
		t.Errorf("first octets are due at %v, want two delays later", due)
	}
	q.put([]byte("y"), at(25))
	q.sent(1)
	if due, _ := q.next(); !due.Equal(at(35)) {
		t.Errorf("later octets are due at %v", due)
	}
}

func TestQueueEnd(t *testing.T) {
	q := queue{delay: 10 * time.Millisecond}
	q.put([]byte("x"), at(0))
	q.end(at(5))
	if !q.full() {
		t.Error("reads behind the end")
	}
	q.sent(1)
	if _, last := q.front(at(14)); last {
		t.Error("the end is early")
	}
	if _, last := q.front(at(15)); !last {
		t.Error("no end")
	}
	q.sent(0)
	if _, ok := q.next(); ok {
		t.Error("something behind the end")
	}
}

func TestQueueReusesBuffersWithoutMixing(t *testing.T) {
	q := queue{}
	q.put([]byte("aaaa"), at(0))
	q.put([]byte("bbbb"), at(0))
	q.sent(4)
	q.put([]byte("cc"), at(0))
	q.sent(4)
	if b, _ := q.front(at(0)); string(b) != "cc" {
		t.Errorf("front: %q", b)
	}
}
