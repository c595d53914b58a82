package httppipe_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A rawServer serves connections in a way that no decent server does.
type rawServer struct {
	serve func(s *rawServer, c *rawConn)

	mu       sync.Mutex
	requests map[string]int // by method and path
	faults   []string       // what should not have been seen
}

// A rawConn is one connection of a rawServer.
type rawConn struct {
	net.Conn
	br *bufio.Reader
}

// inRawWorld is inWorld with a rawServer.
func inRawWorld(t *testing.T, serve func(*rawServer, *rawConn), f func(w *world, s *rawServer), changes ...change) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &rawServer{serve: serve, requests: make(map[string]int)}
		w := &world{t: t, net: memnet.New(memnet.Latency(time.Millisecond), memnet.LogWrites())}
		ln, err := w.net.Listen(pipetest.Host + ":80")
		require.NoError(t, err)
		go s.accept(ln)
		defer ln.Close()
		w.rt = piped(changes...)(w.net.DialContext)
		w.tr = w.rt.(*httppipe.Transport)
		f(w, s)
		require.Empty(t, s.faults)
		for request, n := range s.requests {
			require.False(t, n > 1 && !strings.HasPrefix(request, "GET "), "%s: %d times", request, n)
		}
		w.wantNothingLeft()
	})
}

func (s *rawServer) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			s.serve(s, &rawConn{nc, bufio.NewReaderSize(nc, 64<<10)})
		}()
	}
}

// next receives a head, or returns nil.
func (s *rawServer) next(c *rawConn) *http.Request {
	req, err := http.ReadRequest(c.br)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[req.Method+" "+req.URL.Path]++
	return req
}

func (s *rawServer) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// times is how many times a request has come.
func (s *rawServer) times(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[request]
}

// answer writes a response with the path and the content of the request.
func (c *rawConn) answer(req *http.Request, content []byte) {
	io.WriteString(c, okay(req.URL.Path+string(content)))
}

// silent reads and ignores what comes.
func (c *rawConn) silent() { io.Copy(io.Discard, c) }

// echoes sends n requests with the methods given in turn, by some callers, and
// wants the answers of rawConn.answer.
func (w *world) echoes(name string, n int, methods ...string) {
	w.t.Helper()
	const callers = 8
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errTookTooLong)
	defer cancel()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < n; i += callers {
				method, path, content := methods[i%len(methods)], fmt.Sprintf("/%s%d", name, i), ""
				if method == "POST" || method == "PUT" {
					content = strings.Repeat("content", 1+i)
				}
				if got, err := w.fetch(ctx, method, path, content); err != nil || got != path+content {
					w.t.Errorf("%s %s: %.40q, %v", method, path, got, err)
				}
			}
		})
	}
	group.Wait()
}

// A server that hangs when two requests wait behind a large answer gets no two
// again, after it has been waited for.
func TestInterop01HangsBehindALargeAnswer(t *testing.T) {
	hangs := func(s *rawServer, c *rawConn) {
		for req := s.next(c); req != nil; req = s.next(c) {
			time.Sleep(5 * time.Millisecond)
			if !strings.HasPrefix(req.URL.Path, "/large") {
				c.answer(req, nil)
				continue
			}
			waiting, _ := c.br.Peek(c.br.Buffered())
			if bytes.Count(waiting, []byte("GET /")) >= 2 {
				c.silent()
				return
			}
			c.answer(req, make([]byte, 1<<20))
		}
	}
	inRawWorld(t, hangs, func(w *world, s *rawServer) {
		w.echoes("prove", 40, "GET")
		for round := range 3 {
			var group sync.WaitGroup
			group.Go(func() {
				path := fmt.Sprint("/large", round)
				got, err := w.get(within(w.t, time.Minute), path)
				if err != nil || len(got) != len(path)+1<<20 {
					w.t.Errorf("%s: %d octets, %v", path, len(got), err)
				}
			})
			w.echoes(fmt.Sprint("behind", round), 40, "GET")
			group.Wait()
		}
	}, oneConn())
}

// An origin that answers in another order than it was asked cannot be found out.
// Kept from seeing two requests at a time it does no harm.
func TestInterop02ReordersWhatItGetsTogether(t *testing.T) {
	reorders := func(s *rawServer, c *rawConn) {
		for req := s.next(c); req != nil; req = s.next(c) {
			time.Sleep(time.Millisecond)
			if c.br.Buffered() == 0 {
				c.answer(req, nil)
			} else if second := s.next(c); second != nil {
				c.answer(second, nil)
				c.answer(req, nil)
			}
		}
	}
	for name, serial := range map[string]change{
		"depth": maxDepth(1),
		"never": func(tr *httppipe.Transport) {
			tr.Classify = func(*http.Request) httppipe.Pipelining { return httppipe.Never }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRawWorld(t, reorders, func(w *world, s *rawServer) { w.echoes("a", 100, "GET") }, serial, maxConns(2))
		})
	}
}

// Servers that are confused by content among pipelined requests never get any there.
func TestInterop03ContentTravelsAlone(t *testing.T) {
	for name, serve := range map[string]func(*rawServer, *rawConn){
		// Takes whatever came with the content of a request for more of it.
		"swallows what follows": func(s *rawServer, c *rawConn) {
			for req := s.next(c); req != nil; req = s.next(c) {
				content, _ := io.ReadAll(req.Body)
				if req.Method == "POST" {
					more, _ := c.br.Peek(c.br.Buffered())
					c.br.Discard(len(more))
					content = append(content, more...)
				}
				c.answer(req, content)
			}
		},
		// Loses a request with content that comes before another is answered.
		"loses what is behind": func(s *rawServer, c *rawConn) {
			for req := s.next(c); req != nil; req = s.next(c) {
				content, _ := io.ReadAll(req.Body)
				time.Sleep(5 * time.Millisecond)
				if waiting, _ := c.br.Peek(c.br.Buffered()); bytes.HasPrefix(waiting, []byte("P")) {
					s.next(c)
				}
				c.answer(req, content)
			}
		},
		// Answers a request when it has all of the next one that it has a part of.
		"withholds": func(s *rawServer, c *rawConn) {
			for req := s.next(c); req != nil; req = s.next(c) {
				content, _ := io.ReadAll(req.Body)
				time.Sleep(5 * time.Millisecond)
				if waiting, _ := c.br.Peek(c.br.Buffered()); bytes.HasPrefix(waiting, []byte("P")) {
					s.fault("%s behind another", waiting[:20])
				}
				c.answer(req, content)
			}
		},
		// Runs what it gets together at the same time.
		"runs concurrently": func(s *rawServer, c *rawConn) {
			for req := s.next(c); req != nil; req = s.next(c) {
				content, _ := io.ReadAll(req.Body)
				time.Sleep(5 * time.Millisecond)
				if req.Method != "GET" && c.br.Buffered() > 0 {
					s.fault("something beside %s %s", req.Method, req.URL)
				}
				c.answer(req, content)
			}
		},
	} {
		for _, conns := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				inRawWorld(t, serve, func(w *world, s *rawServer) {
					w.echoes("prove", 40, "GET")
					w.echoes("mixed", 100, "GET", "POST", "GET", "PUT", "GET", "DELETE", "GET")
				}, maxConns(conns))
			})
		}
	}
}

// Nothing is sent behind a request that says close, nor before it: one server makes
// of such a request, and of those beside it, a single 400.
func TestInterop07NothingBesideARequestThatSaysClose(t *testing.T) {
	serve := func(s *rawServer, c *rawConn) {
		for req := s.next(c); req != nil; req = s.next(c) {
			time.Sleep(5 * time.Millisecond)
			if waiting, _ := c.br.Peek(c.br.Buffered()); bytes.Contains(waiting, []byte("Connection: close")) || req.Close && len(waiting) > 0 {
				s.fault("%s beside %d octets", req.URL, len(waiting))
				io.WriteString(c, reply(400, "", "Connection: close"))
				return
			}
			c.answer(req, nil)
			if req.Close {
				return
			}
		}
	}
	inRawWorld(t, serve, func(w *world, s *rawServer) {
		w.echoes("prove", 40, "GET")
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				path := fmt.Sprint("/close", i)
				status, content, err := w.send(within(w.t, time.Minute), "GET", path, nil, func(req *http.Request) { req.Close = true })
				if err != nil || status != 200 || content != path {
					w.t.Errorf("%s: %d %q, %v", path, status, content, err)
				}
			})
		}
		w.echoes("beside", 40, "GET")
		group.Wait()
		require.Equal(w.t, 1, s.times("GET /close0"))
	}, maxConns(2))
}

// Some servers put the 400 for a request in place of the oldest answer that they
// owe. Nobody gets another's.
func TestInterop08MisplacedBadRequest(t *testing.T) {
	serve := func(s *rawServer, c *rawConn) {
		for req := s.next(c); req != nil; req = s.next(c) {
			time.Sleep(5 * time.Millisecond)
			waiting, _ := c.br.Peek(c.br.Buffered())
			if strings.HasPrefix(req.URL.Path, "/bad") || bytes.Contains(waiting, []byte("GET /bad")) {
				io.WriteString(c, reply(400, "", "Connection: close"))
				return
			}
			c.answer(req, nil)
		}
	}
	inRawWorld(t, serve, func(w *world, s *rawServer) {
		w.echoes("prove", 40, "GET")
		var group sync.WaitGroup
		for i := range 3 {
			group.Go(func() {
				if status, _, err := w.send(within(w.t, time.Minute), "GET", fmt.Sprint("/bad", i), nil); err != nil || status != 400 {
					w.t.Errorf("%d, %v", status, err)
				}
			})
		}
		w.echoes("beside", 40, "GET")
		group.Wait()
	}, oneConn())
}

// The octets of a connection are requests and nothing else: no empty line between
// two, and no end of the stream before the last answer is there.
func TestInterop12NoHalfCloseAndNoEmptyLines(t *testing.T) {
	noHalfClose := func(tr *httppipe.Transport) {
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return noCloseWrite{c.(*memnet.Conn)}, nil
		}
	}
	serve := func(s *rawServer, c *rawConn) {
		for {
			if b, err := c.br.Peek(1); err == nil && (b[0] < 'A' || b[0] > 'Z') {
				s.fault("a request begins with %q", b)
			}
			req := s.next(c)
			if req == nil {
				return
			}
			content, _ := io.ReadAll(req.Body)
			c.answer(req, content)
		}
	}
	inRawWorld(t, serve, func(w *world, s *rawServer) {
		w.echoes("a", 100, "GET", "POST", "GET", "PUT", "DELETE")
	}, noHalfClose)
}

// A noCloseWrite must not be half-closed.
type noCloseWrite struct{ *memnet.Conn }

func (noCloseWrite) CloseWrite() error { panic("half-closed") }
