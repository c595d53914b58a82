// Package role has the processes of a comparison other than the comparison itself.
// They are one binary, which starts itself again, so that there is one to build:
//
//	compare origin      the server that contestants are measured against
//	compare delayproxy  forwards TCP connections with a delay
//	compare client      one contestant, one workload: prints one JSON object
package role

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/httppipe/httppipe/bench/internal/delay"
	"github.com/httppipe/httppipe/bench/internal/load"
	"github.com/httppipe/httppipe/bench/internal/origin"
)

// The names of the roles: the first argument of the process.
const (
	Client = "client"
	Origin = "origin"
	Proxy  = "delayproxy"
)

// announcement precedes the address of a server in the line it prints.
const announcement = "listening "

// Address reads the line that a server prints.
func Address(line string) string {
	return strings.TrimSpace(strings.TrimPrefix(line, announcement))
}

func announce(addr string) { fmt.Println(announcement + addr) }

// Play plays the role that args, without the name of the program, begin with. It
// returns false if they begin with none. Servers serve until they are killed.
func Play(args []string) bool {
	if len(args) == 0 {
		return false
	}
	play, ok := map[string]func(*flag.FlagSet, []string) error{Client: client, Origin: serve, Proxy: forward}[args[0]]
	if !ok {
		return false
	}
	log.SetFlags(0)
	log.SetPrefix(args[0] + ": ")
	if err := play(flag.NewFlagSet(args[0], flag.ExitOnError), args[1:]); err != nil {
		log.Fatal(err)
	}
	return true
}

// client leaves callers behind, which may wait for seconds behind a long queue:
// the process ends without them.
func client(fs *flag.FlagSet, args []string) error {
	var opts load.Options
	opts.Bind(fs)
	fs.Parse(args)
	res, err := load.Run(opts)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

func serve(fs *flag.FlagSet, args []string) error {
	protocol := fs.String("protocol", "plain", "plain (HTTP/1.1), tls (HTTP/1.1), or http2 (cleartext)")
	fs.Parse(args)
	switch *protocol {
	case "plain":
		return origin.ServePlain(announce)
	case "tls":
		return origin.ServeTLS(announce)
	case "http2":
		return origin.ServeHTTP2(announce)
	}
	return fmt.Errorf("unknown protocol %q", *protocol)
}

func forward(fs *flag.FlagSet, args []string) error {
	to := fs.String("to", "", "address to forward connections to")
	rtt := fs.Duration("rtt", 10*time.Millisecond, "round-trip time: each direction is delayed by half of it")
	fs.Parse(args)
	return delay.Serve(*to, *rtt, announce)
}
