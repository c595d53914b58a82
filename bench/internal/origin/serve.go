package origin

import (
	"net"
	"time"
)

// Serve answers the connections that ln accepts, each on a goroutine of its
// own. It returns when ln fails.
func Serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go serveConn(c)
	}
}

// serveConn alternates between reading and answering until either fails. It
// never reads while a response is delayed or unsent, which for a client that
// sends without limit is what makes it a fair test of back-pressure.
func serveConn(c net.Conn) {
	defer c.Close()
	var responses canned
	s := newSession(&responses)
	for {
		b, err := s.space()
		if err != nil {
			return
		}
		n, err := c.Read(b)
		if err != nil {
			return
		}
		s.received(n)
		if !answerAll(c, s, &responses) {
			return
		}
	}
}

// answerAll parses and writes until more input is needed. It reports whether
// the connection can go on.
func answerAll(c net.Conn, s *session, responses *canned) bool {
	for {
		responses.tick(time.Now())
		if s.parse() != nil {
			return false
		}
		if s.stalled {
			// What was answered before the slow request must not wait for it.
			if !writeAll(c, s) {
				return false
			}
			time.Sleep(s.delay)
			s.resume()
			continue
		}
		if len(s.output()) == 0 {
			return !s.finished()
		}
		if !writeAll(c, s) {
			return false
		}
	}
}

func writeAll(c net.Conn, s *session) bool {
	n, err := c.Write(s.output())
	s.wrote(n)
	return err == nil
}
