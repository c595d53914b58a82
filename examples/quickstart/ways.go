package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/httppipe/httppipe"
)

// A dialFunc opens a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// counting returns dial with a count of the connections it has opened.
func counting(dial dialFunc) (dialFunc, *atomic.Int64) {
	opened := new(atomic.Int64)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil {
			opened.Add(1)
		}
		return c, err
	}, opened
}

// A transport is what every way of fetching comes down to.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// A way is one of the transports that are compared.
type way struct {
	name  string
	conns int // the most connections to each host; 0 is no limit
	// limit is the most requests that can be under way at once, given the
	// number of callers.
	limit        func(callers int) int
	newTransport func(dial dialFunc) transport
}

// allWays returns the ways to compare, httppipe last. conns is the number of
// connections to each host that the latter two may use.
func allWays(conns int) []way {
	return []way{
		{
			// As it comes, a caller who finds no idle connection opens one.
			name:         "net/http",
			limit:        func(callers int) int { return callers },
			newTransport: func(dial dialFunc) transport { return standard(dial, 0) },
		},
		{
			name:         fmt.Sprintf("net/http, %s", plural(conns, "connection")),
			conns:        conns,
			limit:        func(callers int) int { return min(callers, conns) },
			newTransport: func(dial dialFunc) transport { return standard(dial, conns) },
		},
		{
			name:         fmt.Sprintf("httppipe, %s", plural(conns, "connection")),
			conns:        conns,
			limit:        func(callers int) int { return callers },
			newTransport: func(dial dialFunc) transport { return pipelining(dial, conns) },
		},
	}
}

// standard is net/http's default transport, held to conns connections to each
// host unless that is zero.
func standard(dial dialFunc, conns int) transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dial
	t.Protocols = onlyHTTP1()
	t.MaxConnsPerHost = conns
	if conns > 0 {
		t.MaxIdleConnsPerHost = conns // keep them all: the default is 2
	}
	return t
}

// pipelining is httppipe's transport with at most conns connections to each host.
func pipelining(dial dialFunc, conns int) transport {
	return &httppipe.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     dial,
		Protocols:       onlyHTTP1(),
		MaxConnsPerHost: conns,
	}
}

// onlyHTTP1 keeps every way to HTTP/1.1, also where the server offers HTTP/2:
// that is what is compared.
func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// plural returns "1 connection", "2 connections".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
