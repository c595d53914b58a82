package httppipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/pipeline"
)

// headDriver knows only which call is the head.
type headDriver struct {
	simDriver
	head *pipeline.Call
}

func (d *headDriver) Head() *pipeline.Call { return d.head }

// A slow request that was assigned after another one, but submitted before it, used to
// be sent again itself, while the one behind it waited.
func TestRescueSparesTheHead(t *testing.T) {
	began := time.Now()
	exchanges := make([]*exchange, 3)
	for i := range exchanges {
		exchanges[i] = &exchange{out: &outgoing{rescuable: true}, assigned: began, arrived: began.Add(time.Duration(i))}
		exchanges[i].inPipe.Store(true)
	}
	p := &place{t: new(Transport), known: knowledge{credit: rescueCredit}}
	d := &headDriver{head: &exchanges[1].call}
	c := &conn{place: p, d: d, line: exchanges, inFlight: 3, proof: proofOpen}
	p.conns = []*conn{c}
	for _, x := range exchanges {
		x.conn = c
	}
	rescued := p.rescue(began.Add(time.Minute))
	require.Equal(t, []*exchange{exchanges[0], exchanges[2]}, rescued)
	require.Empty(t, p.rescue(began.Add(time.Minute)), "they are on their way already")
}
