package httppipe

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/wire"
)

func TestParseKeepAlive(t *testing.T) {
	for _, test := range []struct {
		values        []string
		timeout, more int
	}{
		{nil, -1, -1},
		{[]string{""}, -1, -1},
		{[]string{"timeout=5"}, 5, -1},
		{[]string{"timeout=5, max=100"}, 5, 100},
		{[]string{"max=0,timeout=0"}, 0, 0},
		{[]string{" Timeout = 5 ,MAX=7, extra=1"}, 5, 7},
		{[]string{"timeout=5", "max=3"}, 5, 3},
		{[]string{"max=3", "max=2"}, -1, 2},
		{[]string{"300"}, -1, -1},
		{[]string{"timeout=-1, max=x, =3"}, -1, -1},
		{[]string{"timeout=99999999999, max=2147483648"}, -1, -1},
		{[]string{"timeout=2147483647"}, 2147483647, -1},
	} {
		timeout, more := parseKeepAlive(test.values)
		require.Equal(t, test.timeout, timeout, "%q", test.values)
		require.Equal(t, test.more, more, "%q", test.values)
	}
}

func TestKeepAliveMargin(t *testing.T) {
	for field, idle := range map[string]time.Duration{
		"timeout=0":          1, // at once, and not never
		"timeout=1":          500 * time.Millisecond,
		"timeout=2":          time.Second,
		"timeout=5":          4 * time.Second,
		"timeout=2147483647": 2147483646 * time.Second,
		"max=3":              0,
	} {
		var k keepAlive
		k.heed(1, &wire.ResponseHead{Header: http.Header{"Keep-Alive": {field}}})
		require.Equal(t, idle, k.idle, field)
	}
}

// threeOnAConn are exchanges that were assigned to a connection at the same moment.
func threeOnAConn() (p *place, c *conn, line [3]*exchange) {
	p = newTestPlace(new(Transport))
	c = &conn{place: p, d: new(headDriver), proof: proofOpen}
	p.conns = connsOf(c)
	now := clock()
	for i := range line {
		line[i] = &exchange{out: &outgoing{shareable: true}, route: new(route)}
		p.assign(line[i], c, now)
	}
	return p, c, line
}

// A place on a connection that was given back, unused, used to count as a request: one
// more than the server had announced could be sent.
func TestReleasedPlaceIsNoRequest(t *testing.T) {
	p, c, line := threeOnAConn()
	second := &line[1].call
	second.Response.StatusCode = http.StatusOK
	second.Response.Header = http.Header{"Keep-Alive": {"max=1"}}
	p.release(line[0])
	c.left(second)
	require.Equal(t, 2, c.keep.last)
	require.True(t, c.spent(), "one was answered, and one is on its way")
}

// The head used to be due anew when somebody behind it gave up.
func TestWhoLeavesFromTheMiddleIsNoAnswer(t *testing.T) {
	_, c, line := threeOnAConn()
	turn := clock().Add(-time.Second)
	c.turn = turn
	c.left(&line[1].call)
	require.Equal(t, turn, c.turn)
	c.left(&line[0].call)
	require.NotEqual(t, turn, c.turn, "a head that nobody wanted any more has made way")
}

// Two requests used to go in one write to see whether the server can pipeline, although it
// had announced one more answer, or gives no more on any connection; or waited to do so.
func TestPairIsNoMoreThanIsAnswered(t *testing.T) {
	now := clock()
	for _, test := range []struct{ last, most, sent int }{{0, 0, 2}, {2, 0, 1}, {3, 0, 2}, {0, 2, 1}, {0, 3, 2}} {
		newPlace := func() (p *place, c *conn, get func() *exchange) {
			p = newTestPlace(&Transport{MaxConnsPerHost: 1})
			p.known.known, p.known.rtt, p.known.most = true, 50*time.Millisecond, test.most
			c = &conn{place: p, d: new(headDriver), proof: proofPair, gone: 1, answered: 1}
			c.keep.last = test.last
			p.conns = connsOf(c)
			return p, c, func() *exchange {
				return &exchange{out: &outgoing{shareable: true, rescuable: true}, route: new(route), arrived: now, since: now, gap: time.Millisecond, waiting: true}
			}
		}
		p, c, get := newPlace()
		p.shared.push(get())
		p.shared.push(get())
		p.dispatch(now)
		require.Equal(t, test.sent, c.inFlight, test)

		p, c, get = newPlace()
		x := get()
		x.pause = 10 * time.Millisecond
		require.Equal(t, test.sent == 2, p.awaitsPartner(x, c, now), test)

		p, c, get = newPlace()
		p.assign(get(), c, now)
		c.line[0].inPipe.Store(true)
		require.Equal(t, test.sent == 2, p.hasPlace(c, get(), now.Add(time.Second)), test)
	}
}
