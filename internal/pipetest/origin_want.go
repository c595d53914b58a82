package pipetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/httppipe/httppipe/internal/memnet"
)

// NetConn returns the connection itself, below TLS: a *[memnet.Conn] or a
// *[net.TCPConn]. The Origin goes on reading it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Writes returns the octets of each finished write of the client on this
// connection, which must be in memory. Over TLS they are TLS records.
func (c *Conn) Writes() []string {
	c.origin.t.Helper()
	mc, ok := c.nc.(*memnet.Conn)
	if !ok {
		c.origin.t.Fatal("only connections in memory know their writes")
	}
	c.origin.settler.still(func() string { return "" })
	return mc.Peer().WriteLog()
}

// Raw returns all octets received so far, decrypted.
func (c *Conn) Raw() string {
	c.origin.settler.still(func() string { return "" })
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	return string(c.raw)
}

// Requests returns what has arrived on this connection so far.
func (c *Conn) Requests() []Received {
	c.origin.settler.still(func() string { return "" })
	return c.origin.received(c.sent)
}

func (c *Conn) sent(r *request) bool { return r.Conn == c.index }

// WantRequests is [Origin.WantRequests] for this connection alone.
func (c *Conn) WantRequests(want ...string) {
	c.origin.t.Helper()
	c.origin.wantRequests(c.sent, want)
}

// WantNoRequest is [Origin.WantNoRequest] for this connection alone.
func (c *Conn) WantNoRequest() {
	c.origin.t.Helper()
	c.origin.wantRequests(c.sent, nil)
}

// WantBody wants the newest request on this connection to have this content,
// completely.
func (c *Conn) WantBody(want string) {
	c.origin.t.Helper()
	c.origin.want(func() string {
		rs := c.origin.received(c.sent)
		if len(rs) == 0 {
			return "there is no request"
		}
		last := rs[len(rs)-1]
		if !last.Done || string(last.Body) != want {
			return fmt.Sprintf("content is %q (complete: %v), want %q", last.Body, last.Done, want)
		}
		return ""
	})
}

// WantBodySoFar wants this much of the content of the newest request to have
// arrived, and not its end.
func (c *Conn) WantBodySoFar(want string) {
	c.origin.t.Helper()
	complaint := func() string {
		rs := c.origin.received(c.sent)
		if len(rs) == 0 {
			return "there is no request"
		}
		last := rs[len(rs)-1]
		if last.Done || string(last.Body) != want {
			return fmt.Sprintf("content so far is %q (complete: %v), want %q", last.Body, last.Done, want)
		}
		return ""
	}
	c.origin.want(complaint)
	c.origin.wantStill(complaint)
}

// WantClosed wants the client to have closed the connection, not within a
// request.
func (c *Conn) WantClosed() {
	c.origin.t.Helper()
	c.origin.want(func() string {
		c.origin.mu.Lock()
		defer c.origin.mu.Unlock()
		if !c.ended {
			return fmt.Sprintf("connection %d is open, want the client to close it", c.index)
		}
		return ""
	})
}

// WantOpen wants neither side to have closed the connection.
func (c *Conn) WantOpen() {
	c.origin.t.Helper()
	c.origin.wantStill(func() string {
		if c.isEnded() {
			return fmt.Sprintf("connection %d was closed", c.index)
		}
		return ""
	})
}

// WantOneWrite wants the newest write of the client to have carried exactly
// these requests, such as "GET /a". The connection must be plain and in
// memory.
func (c *Conn) WantOneWrite(want ...string) {
	c.origin.t.Helper()
	writes := c.Writes()
	if len(writes) == 0 {
		c.origin.t.Fatal("nothing was written")
	}
	last := writes[len(writes)-1]
	if got := requestLines(last); !slices.Equal(got, want) {
		c.origin.t.Fatalf("the newest write carries %q, want %q", got, want)
	}
}

// requestLines returns method and target of each request in octets.
func requestLines(octets string) []string {
	br := bufio.NewReader(bytes.NewReader([]byte(octets)))
	var lines []string
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return lines
		}
		io.Copy(io.Discard, req.Body)
		lines = append(lines, req.Method+" "+req.RequestURI)
	}
}
