package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
)

// An origin is the web server that the demonstration brings along: documents
// with known contents at /0, /1, and so on.
type origin struct {
	srv      *http.Server
	addr     string
	contents [][]byte // by number; not changed once serving
}

// startOrigin serves n documents on a free port of the loopback interface.
// The caller must Close it.
func startOrigin(n int) (*origin, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{addr: ln.Addr().String(), contents: make([][]byte, n)}
	for i := range o.contents {
		o.contents[i] = content(i)
	}
	o.srv = &http.Server{Handler: o}
	go o.srv.Serve(ln) // ends when Close closes ln
	return o, nil
}

// Close ends the origin and its connections at once.
func (o *origin) Close() { o.srv.Close() }

// ServeHTTP answers one request.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil || i < 0 || i >= len(o.contents) {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(o.contents[i])))
	w.Write(o.contents[i])
}

// documents lists all contents under the URLs they have at host.
func (o *origin) documents(host string) []document {
	docs := make([]document, len(o.contents))
	for i, c := range o.contents {
		docs[i] = document{url: fmt.Sprintf("http://%s/%d", host, i), want: c}
	}
	return docs
}

// content returns the octets of document i: its number in plain text, then
// noise that no other document has. Its length is between about 100 octets and
// 32 KiB, small ones being more frequent, as on a real site.
func content(i int) []byte {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	b := fmt.Appendf(nil, "This is document %d.\n", i)
	for n := 100 << random.IntN(9); len(b) < n; {
		b = append(b, byte(random.Uint32()))
	}
	return b
}
