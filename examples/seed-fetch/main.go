// Seed-fetch fetches ten documents over one pipelined connection. One goroutine
// sends all requests, and reads whenever a send is suspended.
//
// It takes no arguments: the origin is a part of the program.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/httppipe/httppipe/pipeline"
)

func main() {
	origin := httptest.NewServer(http.HandlerFunc(serveDocument))
	defer origin.Close()

	files, err := fetch(context.Background(), origin.URL, documents())
	if err != nil {
		log.Fatal(err)
	}
	for _, doc := range documents() {
		if !bytes.Equal(files[doc], content(doc)) {
			log.Fatalf("%s: %d octets, and not the right ones", doc, len(files[doc]))
		}
		fmt.Printf("%s: %d octets, as they should be\n", doc, len(files[doc]))
	}
}

func documents() (docs []string) {
	for i := range 10 {
		docs = append(docs, fmt.Sprintf("/file_%d.html", i))
	}
	return docs
}

// fetch fetches documents from an origin, by their paths.
func fetch(ctx context.Context, origin string, documents []string) (map[string][]byte, error) {
	conn, err := pipeline.Dial(ctx, origin, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()

	files := make(map[string][]byte)
	var current string
	buf := make([]byte, 8192)

	readResponse := func() error {
		if conn.ResponseActive() {
			// Active response, so we are reading content.
			n, err := conn.Read(buf)
			files[current] = append(files[current], buf[:n]...)
			if err == io.EOF {
				return nil
			}
			return err
		}
		// No active response.
		resp, err := conn.ReadResponse(ctx)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %d %s", resp.Target, resp.StatusCode, resp.Reason)
		}
		current = resp.Target
		return nil
	}

	// Try to send all the requests...
	for _, doc := range documents {
		send := conn.Send(&pipeline.Request{Target: doc})
		for send.Next() {
			// ...but interrupt if response data is available.
			if err := readResponse(); err != nil {
				return nil, err
			}
		}
		if err := send.Err(); err != nil {
			return nil, err
		}
	}

	// All requests sent, now read the rest of the responses.
	for conn.Pending() {
		if err := readResponse(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// content is what the origin has at path: about a megabyte, of which no two pieces
// are the same.
func content(path string) []byte {
	var b strings.Builder
	for sum := sha256.Sum256([]byte(path)); b.Len() < 1<<20; sum = sha256.Sum256(sum[:]) {
		fmt.Fprintf(&b, "<p>%x</p>\n", sum)
	}
	return []byte(b.String())
}

func serveDocument(w http.ResponseWriter, r *http.Request) {
	w.Write(content(r.URL.Path))
}
