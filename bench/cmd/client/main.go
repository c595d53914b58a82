// Command client is the load generator: one contestant, one workload, one
// process. It prints one JSON object. Usually cmd/compare runs it; by hand it is
// good for profiles:
//
//	go run ./cmd/origin &
//	go run ./cmd/client -addr 127.0.0.1:PORT -name httppipe -cpuprofile cpu.prof
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"

	"github.com/httppipe/httppipe/bench/internal/load"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("client: ")
	var opts load.Options
	opts.Bind(flag.CommandLine)
	flag.Parse()
	res, err := load.Run(opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
		log.Fatal(err)
	}
	// Callers may be waiting for seconds behind a long queue: leave them.
}
