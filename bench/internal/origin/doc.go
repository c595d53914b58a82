// Package origin is a deliberately cheap HTTP/1.1 origin server for
// measurements over loopback.
//
//	GET  /b/N        200 with N octets of content and eight header fields
//	GET  /slow/MS    128 octets, MS milliseconds later; what is pipelined behind
//	                 it waits, as with every server that answers in order
//	PUT, POST        content (Content-Length or chunked) is thrown away, then
//	                 200 with 16 octets, after MS milliseconds for /slow/MS
//	GET  other       as /b/128
//
// All requests that arrive in one read are answered with one write. On Linux a
// single thread serves all connections; over TLS, and on other systems, each
// connection has a goroutine. Both use the same session, which knows no sockets.
//
// # Limitations
//
// This is no general server. It trusts its clients, has no timeouts, and gives
// up a connection at the first thing it does not understand.
package origin
