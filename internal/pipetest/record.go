package pipetest

import (
	"crypto/sha256"
	"net/http"
	"slices"
)

// An Entry is what a [Server] remembers of a request.
type Entry struct {
	Conn, Index    int // as in [Exchange]
	Method, Target string
	Host           string
	Header         http.Header
	Octets         int64             // content received
	Sum            [sha256.Size]byte // of the content; meaningful if Complete
	Complete       bool              // all of the content was received
	Followed       bool              // more had arrived behind it when its answer began
	Dropped        bool              // lost on purpose, by DropSecond
	Answered       bool              // the whole answer was handed over
}

// Record returns a copy of what was received, in order of arrival.
func (s *Server) Record() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	record := make([]Entry, len(s.record))
	for i, e := range s.record {
		record[i] = *e
	}
	return record
}

// Times returns how often a request has arrived, completely or not.
func (s *Server) Times(method, target string) int {
	n := 0
	for _, e := range s.Record() {
		if e.Method == method && e.Target == target {
			n++
		}
	}
	return n
}

// Repeated returns the requests, as "METHOD target", that arrived more than
// once with one of the methods; without methods, of all requests.
func (s *Server) Repeated(methods ...string) []string {
	times := make(map[string]int)
	var repeated []string
	for _, e := range s.Record() {
		line := e.Method + " " + e.Target
		if len(methods) > 0 && !slices.Contains(methods, e.Method) {
			continue
		}
		if times[line]++; times[line] == 2 {
			repeated = append(repeated, line)
		}
	}
	return repeated
}

// OnConn returns the requests, as "METHOD target", that arrived on the i-th
// connection, in order.
func (s *Server) OnConn(i int) []string {
	var lines []string
	for _, e := range s.Record() {
		if e.Conn == i {
			lines = append(lines, e.Method+" "+e.Target)
		}
	}
	return lines
}

// Conns returns how many connections were accepted.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns how many connections there are at the moment.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Malformed returns the errors of requests that could not be parsed. A
// connection that ends within a request is not among them.
func (s *Server) Malformed() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.malformed)
}
