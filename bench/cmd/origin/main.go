// Command origin is the server that contestants are measured against.
// It prints "listening ADDRESS" and serves until it is killed.
package main

import (
	"flag"
	"fmt"
	"log"

	"github.com/httppipe/httppipe/bench/internal/origin"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("origin: ")
	protocol := flag.String("protocol", "plain", "plain (HTTP/1.1), tls (HTTP/1.1), or http2 (cleartext)")
	flag.Parse()
	serve, ok := map[string]func(func(string)) error{
		"plain": origin.ServePlain,
		"tls":   origin.ServeTLS,
		"http2": origin.ServeHTTP2,
	}[*protocol]
	if !ok {
		log.Fatalf("unknown protocol %q", *protocol)
	}
	log.Fatal(serve(func(addr string) { fmt.Println("listening", addr) }))
}
