// Package httppipe is an HTTP/1.1 pipelining client transport.
//
// A [Transport] takes the place of http.Transport in any http.Client:
//
//	client := &http.Client{Transport: &httppipe.Transport{}}
//
// Concurrent requests to one origin then share connections, on which a request is
// sent without waiting for the answers to those before it (RFC 9112, Section 9.3.2).
// There are as few connections as serve the requests well: one or two while answers
// come fast, up to one for each request where they are slow; [Transport].MaxConnsPerHost
// is the limit. It pays where a round trip takes longer than the origin's work,
// where connections are few or dear, and where there are many small requests.
// It brings nothing where one answer is slow and everybody waits for it, and it
// is not needed where HTTP/2 is spoken, which the Transport does as net/http.
//
// # The way of one request
//
//	RoundTrip(req)                                      roundtrip.go
//	 ├ validate everything before writing anything      outgoing.go
//	 ├ classify: may it share, be repeated, be rescued  outgoing.go, classify.go
//	 ├ reserve a place on a connection, or dial         pool.go, schedule.go, provide.go
//	 │     whoever waits behind a late answer           rescue.go
//	 ├ submit a call                                    pipeline/driver.go
//	 │   ├ send ── wire.AppendRequestHead ──► origin    pipeline/send.go, driver_send.go
//	 │   │         content │ sendfile │ hold for 100
//	 │   └ receive ◄── wire.HeadScanner.Parse ── origin pipeline/receive.go, driver_receive.go
//	 │             interim: report    final: deliver
//	 ├ *http.Response; Body reads content               body.go, pipeline/body.go
//	 │   end of content → the next call's turn
//	 └ failure → *ExchangeError → again, or return      errors.go, replay.go
//
// There are three layers, and imports only point down: httppipe decides which
// connection, whether to share it, and what is sent again; package
// [github.com/httppipe/httppipe/pipeline] is one connection; package
// [github.com/httppipe/httppipe/wire] turns octets into messages and back.
//
// # What shares a connection
//
// By default requests without effect and without content: GET, HEAD, OPTIONS and
// TRACE, unless they say Connection, Upgrade or Expect, authenticate their
// connection (NTLM, Negotiate), or set Request.Close. All others are alone on
// theirs, as with net/http. [Transport.PipelineUploads] widens that, and
// [WithPipelining] and [Transport.Classify] choose for a single request.
//
// An origin is not trusted at once. It gets one request alone, then two in one
// write, and only when both are answered as many as it pays to send. One that
// cannot pipeline is remembered, and spoken to as net/http does.
//
// # What is sent again
//
// A request of which not one octet was sent. A request that is safe, or has an
// Idempotency-Key, and whose body can be had again, if its connection ended
// without an answer; if that was its own turn to be answered, once, and alone, and only
// if the connection had answered before.
// A safe request also if it waits behind an answer that is late, or that nobody
// reads: an origin can see a safe request twice. An error says by
// errors.Is(err, [ErrUnprocessed]) that the origin cannot have acted on it.
//
// A request that is pipelined by choice and not safe cannot go elsewhere once it is
// sent. It is never sent behind a content that has begun. If it is behind one that
// begins later, and is not read, that is moved into memory, as far as there is any; with
// more of it, the request waits for the content to be read on, and fails when in 30 s
// not one octet of it was. That it fails then, and with net/http would have finished,
// is the price of the choice: no memory that is bounded holds every content.
//
// # Memory
//
// A content that arrives together with its head leaves the connection at once, and
// so does one of up to 64 KiB that is not read within 5 ms while others wait behind
// it, or larger, while such a request does. A Transport holds at most 16 MiB
// ([pipeline.DefaultMemory]) of such contents, not counting those of less than 1 KiB,
// and uses their memory again when they were read to the end or closed. All other
// content is read from the connection, straight into the memory of its reader. A busy
// connection receives into 64 KiB, an idle one into 4 KiB; only a response head may
// take more.
//
// # Limitations
//
// A whole response that is injected behind a request already sent cannot be told
// from its answer, by this or any other HTTP/1.1 client. Octets that arrive
// before the next request is sent are never taken for its answer; on connections
// that are not sockets, that is what Read has returned when its goroutine has been
// given a moment to run. Where requests
// of different users meet on a connection and the peers are not trusted to
// agree on framing, MaxPipelineDepth: 1 keeps them apart.
//
// An origin that answers pipelined requests in another order than it was asked,
// with well-formed answers, cannot be found out.
//
// Code that asserts *http.Transport does not find one. http.Client uses
// Request.Cancel for its Timeout with every transport but net/http's, which
// works, and costs a goroutine of its own.
package httppipe
