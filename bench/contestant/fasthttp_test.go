package contestant

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// A crowded client has no connection for a number of calls.
type crowded int

func (c *crowded) Do(*fasthttp.Request, *fasthttp.Response) error {
	if *c == 0 {
		return nil
	}
	*c--
	return fasthttp.ErrNoFreeConns
}

// TestGet failed once in many runs with "no free connections": who waited was the last,
// and had missed the connection that was given back.
func TestFasthttpAsksAgainForAConnection(t *testing.T) {
	c := crowded(2)
	if err := (patient{&c}).Do(nil, nil); err != nil {
		t.Error(err)
	}
	c = 1000
	if err := (patient{&c}).Do(nil, nil); err != fasthttp.ErrNoFreeConns {
		t.Errorf("%v, although there was none for long", err)
	}
}
