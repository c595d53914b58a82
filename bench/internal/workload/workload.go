// Package workload lists what is measured: the rows of the comparison.
package workload

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/httppipe/httppipe/bench/internal/load"
)

// Servers that a workload may run against.
const (
	Origin    = "origin"     // cmd/origin
	OriginTLS = "origin-tls" // the same over TLS
	HTTP2     = "origin-http2"
	Nginx     = "nginx"
	NginxH2   = "nginx-http2"
)

// Kinds of workload: which columns its table has.
type Kind int

const (
	Requests Kind = iota // requests per second
	Upload               // octets per second
	Mixed                // how many fast requests suffer from slow ones
	Cold                 // time until all of a batch are answered
	Memory               // octets held
)

// A Workload is one row of the comparison: who does what with which server.
type Workload struct {
	ID, Title   string
	Kind        Kind
	Server      string
	RTT         time.Duration // 0: loopback, no proxy
	Contestants []string
	Base        string // the contestant that ratios are to

	// Limited says that Options.Conns is a limit for everybody. Otherwise each
	// contestant gets the number that suits it.
	Limited bool

	// Options is what to run; Name, Addr, TLS and File are filled in later.
	Options load.Options
}

// In rows without a limit connections are not what is compared: each
// contestant gets the number that suits it best (measured with 64 callers).
// Those not listed, httppipe among them, choose for themselves.
var suits = map[string]int{
	"nethttp-N":        8,
	"fasthttp-pipe":    1,
	"fasthttp-pipe-rt": 1,
	"limit-rt":         2,
	"limit-rt-lf":      2,
	"rawpump":          1,
}

// OptionsFor returns the options for one contestant. own is the number of
// connections for httppipe where they are not limited; 0 is its own choice.
func (w Workload) OptionsFor(name string, own int) load.Options {
	o := w.Options
	o.Name = name
	if !w.Limited {
		n := suits[name]
		if name == "httppipe" {
			n = own
		}
		o.Conns = min(n, o.Concurrency)
	} else if name == "nethttp" {
		o.Conns = 0 // for reference: the same with as many as it likes
	}
	o.TLS = w.Server == OriginTLS
	return o
}

// ServerFor returns the server that a contestant talks to.
func (w Workload) ServerFor(name string) string {
	switch {
	case name != "h2c":
		return w.Server
	case w.Server == Nginx:
		return NginxH2
	}
	return HTTP2
}

// Select returns the workloads whose ID matches the regular expression only
// (anchored at neither end), with no contestants but the listed ones and each
// row's base. An empty only, or no contestants, select everything.
func Select(all []Workload, only string, contestants []string) ([]Workload, error) {
	re, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	var selected []Workload
	for _, w := range all {
		if !re.MatchString(w.ID) {
			continue
		}
		if len(contestants) > 0 {
			w.Contestants = slices.DeleteFunc(slices.Clone(w.Contestants), func(name string) bool {
				return name != w.Base && !slices.Contains(contestants, name)
			})
		}
		selected = append(selected, w)
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("no workload matches %q (see -list)", only)
	}
	return selected, nil
}

// Uses reports whether one of the workloads runs against a server.
func Uses(ws []Workload, server string) bool {
	return slices.ContainsFunc(ws, func(w Workload) bool {
		return slices.ContainsFunc(w.Contestants, func(name string) bool { return w.ServerFor(name) == server })
	})
}
