// Command delayproxy forwards TCP connections with a delay.
// It prints "listening ADDRESS" and serves until it is killed.
package main

import (
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/httppipe/httppipe/bench/internal/delay"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("delayproxy: ")
	to := flag.String("to", "", "address to forward connections to")
	rtt := flag.Duration("rtt", 10*time.Millisecond, "round-trip time: each direction is delayed by half of it")
	flag.Parse()
	log.Fatal(delay.Serve(*to, *rtt, func(addr string) { fmt.Println("listening", addr) }))
}
