// Package wire turns HTTP/1.1 messages into octets and octets into messages,
// by the rules of RFC 9110 and RFC 9112.
//
// It reads and writes byte slices only. Waiting, locking, time and sockets
// belong to its callers, and so everything here can be tested and fuzzed
// without any of them.
//
//	octets to send                         octets received
//	  AppendRequestHead                      ParseResponseHead, HeadScanner
//	  AppendChunkHead, AppendChunkEnd        ResponseFraming
//	  AppendLastChunk                        ChunkedDecoder
//	                                         ResponseHead.TakeTransfer
//
// Serialising appends to a slice that the caller owns. Parsing takes a slice
// and returns how many of its octets were consumed; "more octets, please" is
// an ordinary answer (zero consumed, no error). Nothing returned by parsing a
// head aliases the slice it was parsed from. Content returned by
// [ChunkedDecoder.Next] does, and says so.
//
// None of the types is safe for use by several goroutines at once, except
// where values are only read.
//
// # Errors
//
// [*SyntaxError], [*UnsupportedError] and [*LimitError] are about the peer's
// octets. After any of them the connection can no longer be trusted to be in
// step and must be closed. [*RequestError] is about a request that must not be
// written. Field values stay out of error texts, because they may be secrets;
// the exceptions are the two fields that frame a message.
//
// # Differences from http.ReadResponse
//
// A response parsed here is what [http.ReadResponse] makes of the same octets,
// apart from the following. Stricter, because a wrong guess could hand one
// response's octets to the reader of another:
//
//   - The status code is exactly three digits. ReadResponse also takes "+20"
//     and "-00", which are not what any server means.
//   - A control octet in the status line other than HTAB is an error, a bare CR
//     among them (RFC 9112, Section 2.2). ReadResponse passes it on in Status.
//   - White space between "Content-Length" or "Transfer-Encoding" and the colon
//     is an error. ReadResponse takes it as a field of another name and frames
//     the message without it, where the next recipient may see the field.
//     Other names with spaces in them are taken as they are, as there.
//   - A response whose framing is in doubt (both Transfer-Encoding and
//     Content-Length; Transfer-Encoding in HTTP/1.0; content announced where a
//     status forbids it) is read as ReadResponse reads it, but
//     [Framing.Doubtful] says that nothing behind it can be trusted
//     (RFC 9112, Section 6.3).
//   - A connection whose peer speaks a major version other than 1 does not
//     persist: see [ResponseHead.KeepAlive]. What such a version says about
//     framing is not known.
//     ReadResponse takes HTTP/0.0 for HTTP/1.1 in one place; here it is HTTP/0.0.
//   - Lines of a trailer section end in CRLF. ReadResponse accepts a bare LF
//     there, although not in the lines around chunks. Where the trailer section
//     ends, the next response begins, so there must not be two opinions about it.
//   - A chunk of 2^63 octets or more is an error at once.
//   - Octets that cannot begin a status line are an error as soon as they
//     arrive, without waiting for the end of a line that may never come.
//   - A head has a limit of its own, and so has the number of fields in it.
//     A caller of ReadResponse must limit its reader instead. See [Limits].
//
// More lenient, where RFC 9112 says how and nothing can get out of step:
//
//   - White space before a chunk extension is skipped (RFC 9112, Section 7.1.1).
//   - White space that an empty folded line leaves at the end of a field value
//     is not part of the value (RFC 9112, Section 5.2).
//   - A trailer section may be longer than the read buffer: see [Limits].
//
// Different by meaning:
//
//   - After 101 (Switching Protocols), and after a 2xx answer to CONNECT, the
//     connection belongs to another protocol: [Tunnel]. Fields that frame a
//     message are ignored in a 2xx answer to CONNECT, as RFC 9112, Section 6.3
//     demands; ReadResponse obeys them.
//
// # Differences from http.Request.Write
//
// [AppendRequestHead] writes the octets that [http.Request.Write] does, apart
// from these:
//
//   - Host, Content-Length, Transfer-Encoding and Trailer in a header map are
//     left out however they are capitalised. Request.Write compares exactly, so
//     that a key "content-length" put into the map by hand reaches the wire as a
//     second length: request smuggling.
//   - CR and LF become spaces in the request line and in Host as well.
//   - Connection: close is not added when any Connection field already says so;
//     Request.Write looks at the first only.
//   - Trailer sections leave out the names that heads do, too: Host, User-Agent
//     and the fields that frame messages. Request.Write writes them.
//
// # Limitations
//
// Only the "chunked" transfer coding is known, as in net/http. Chunk extensions
// are ignored. There is no parser for requests and no serialiser for responses:
// this is one half of a protocol, the client's.
package wire
