package contestant

import (
	"testing"
	"time"
)

// TestGet failed once in many runs with "no free connections": who waited was the last,
// and had missed the connection that was given back.
func TestFasthttpAsksAgainForAConnection(t *testing.T) {
	c := hostClient(NewConfig(Config{Addr: origins["plain"](), Conns: 1}))
	c.MaxConnWaitTimeout = 100 * time.Millisecond
	held, err := c.AcquireConn(0, false)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*c.MaxConnWaitTimeout, func() { c.ReleaseConn(held) })
	w := (&fast{patient{c}, Config{Addr: c.Addr}}).NewWorker()
	if err := w.Do(&Op{Path: "/b/7", Want: 7}); err != nil {
		t.Error(err)
	}
}
