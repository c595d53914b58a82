// Package pipeline is a complete client for one pipelined HTTP/1.1 connection.
//
// Many requests are sent without waiting for the answers to those before; answers
// come in the order of the requests. The danger is well known: a client that only
// sends, to an origin that only answers, fills the buffers on the way in both
// directions, and then each waits for the other for ever. The answer here is the
// [Cofunc]: sending is a function that can be suspended and resumed, and it is
// suspended as soon as response data has arrived. So one goroutine can send
// without limit and never deadlock:
//
//	conn, err := pipeline.Dial(ctx, "http://example.com", nil)
//	...
//	for _, doc := range documents {
//		send := conn.Send(&pipeline.Request{Target: doc})
//		for send.Next() { // suspended: a response is there to be read
//			readResponse(conn)
//		}
//		if err := send.Err(); err != nil {
//			return err
//		}
//	}
//	for conn.Pending() { // all is sent: read the rest
//		readResponse(conn)
//	}
//
// # The parts
//
//   - [Conn] is the connection, for one goroutine, or for one that sends and one
//     that receives. Besides cofunctions it has calls that block ([Conn.SendRequest],
//     [Conn.Write], [Conn.ReadResponse], [Conn.Read]), calls that never do
//     ([Cofunc.Step], [Conn.TryWrite], [Conn.TryReadResponse], [Conn.TryRead]), and
//     [Conn.Poll], which waits for either direction.
//   - [Dialer] makes a Conn, through TLS and proxies if need be. [NewConn] makes one
//     of any net.Conn.
//   - [Driver] shares a connection among many goroutines; it is what the transport
//     in the parent package is built on.
//
// All of them run the same state machines: half of the state belongs to sending,
// half to receiving, and between them are the exchanges in flight. A third piece,
// hidden, knows how to move octets without blocking, and how to wait: through the
// operating system's sockets where it can, below TLS as well if that was set up by
// [TLSClient], and through two goroutines for any other net.Conn.
//
// # Errors
//
// A lost connection is [ErrConnectionClosed], whatever the operating system called
// it. Content that ends too early is [io.ErrUnexpectedEOF] as well, and never a
// clean end. An answer that cannot be understood is an [*InvalidResponseError], and
// [ErrUnsupportedResponse] if it is well-formed. A call that makes no sense is a
// [*StateError], has sent nothing, and leaves the Conn usable. So do the end of a
// context, and a [*TimeoutError].
//
// # Limitations
//
// ReadResponse returns when a head has arrived completely. Poll, and a suspended
// cofunction, say that it has begun: a peer that stops in the middle of a head keeps
// the caller waiting. Use the calls that never block where that matters.
//
// Octets that arrive with nothing in flight are never taken for a response: they
// are found before the next request is written, and are [ErrSurplus]. A whole
// response that a peer injects behind a request already sent cannot be told from
// the real one, by any client. A net.Conn that is served by goroutines cannot be
// asked what has arrived: there it is what Read has returned, when its goroutine is
// back in it and has been given a moment to run.
//
// Files are sent by sendfile(2) on Linux, over plain TCP and Unix sockets.
package pipeline
