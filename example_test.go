package httppipe_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/httppipe/httppipe"
)

// echo answers with the method and the length of the request.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s: %d octets", r.Method, len(content))
})

// show sends a request and prints the response.
func show(client *http.Client, req *http.Request) {
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(content))
}

// A query that is sent by POST has no effect. Who knows that can have it pipelined;
// and an empty Idempotency-Key, which is not sent, says that it may be sent again.
func ExampleWithPipelining() {
	server := httptest.NewServer(echo)
	defer server.Close()
	transport := new(httppipe.Transport)
	defer transport.CloseIdleConnections()

	req, err := http.NewRequest("POST", server.URL+"/search", strings.NewReader("a query"))
	if err != nil {
		log.Fatal(err)
	}
	req.Header["Idempotency-Key"] = nil
	req = req.WithContext(httppipe.WithPipelining(req.Context(), httppipe.Pipeline))
	show(&http.Client{Transport: transport}, req)
	// Output: POST: 7 octets
}

// Classify chooses for all requests, by what the program knows of its servers.
func ExampleTransport_Classify() {
	server := httptest.NewServer(echo)
	defer server.Close()
	transport := &httppipe.Transport{
		Classify: func(req *http.Request) httppipe.Pipelining {
			switch {
			case strings.HasPrefix(req.URL.Path, "/events/"):
				return httppipe.Alone // nobody should wait behind a stream
			case req.URL.Query().Has("delete"):
				return httppipe.Never // a GET with an effect
			}
			return httppipe.ByMethod
		},
	}
	defer transport.CloseIdleConnections()

	req, err := http.NewRequest("GET", server.URL+"/list?delete=7", nil)
	if err != nil {
		log.Fatal(err)
	}
	show(&http.Client{Transport: transport}, req)
	// Output: GET: 0 octets
}

// Four requests at most are unanswered on a connection. With 1 there is no pipelining.
func ExampleTransport_maxPipelineDepth() {
	server := httptest.NewServer(echo)
	defer server.Close()
	transport := &httppipe.Transport{MaxPipelineDepth: 4}
	defer transport.CloseIdleConnections()

	req, err := http.NewRequest("GET", server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	show(&http.Client{Transport: transport}, req)
	// Output: GET: 0 octets
}

func ExampleTransport_Stats() {
	server := httptest.NewServer(echo)
	defer server.Close()
	transport := new(httppipe.Transport)
	defer transport.CloseIdleConnections()

	client := &http.Client{Transport: transport}
	for range 3 {
		req, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		show(client, req)
	}
	stats := transport.Stats()
	fmt.Println(stats.Conns, "connection,", stats.Dials, "dialed,", stats.Replays, "replays")
	// Output:
	// GET: 0 octets
	// GET: 0 octets
	// GET: 0 octets
	// 1 connection, 1 dialed, 0 replays
}
