package pipetest

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// A Pipelining says what a connection does when a request waits behind one
// that is not answered yet. All but the first were seen in real servers.
type Pipelining uint8

const (
	// InOrder answers every request, in order, one at a time.
	InOrder Pipelining = iota
	// CloseOnSecond closes without a further octet as soon as a second
	// request is there. The delay of an answer is the time it has to come.
	CloseOnSecond
	// SilentOnPair answers nothing any more once two requests have come in
	// one segment.
	SilentOnPair
	// FirstOnly answers the first of several requests and is silent then.
	FirstOnly
	// FirstThenClose answers the first of several requests and closes,
	// unannounced.
	FirstThenClose
	// DropSecond loses the second of several requests that came in one
	// segment; the answer to the third comes in its place.
	DropSecond

	numPipelinings
)

// NumPipelinings is how many values Pipelining has, for those who draw one.
const NumPipelinings = int(numPipelinings)

// An Ending is how a connection ends.
type Ending uint8

const (
	// EndLinger ends the stream to the client, reads and ignores what still
	// comes, and closes when the client has. No answer is lost.
	EndLinger Ending = iota
	// EndClose closes. If requests are waiting, that resets the connection,
	// and answers that have not arrived are lost.
	EndClose
	// EndReset resets the connection.
	EndReset

	numEndings
)

// NumEndings is how many values Ending has.
const NumEndings = int(numEndings)

// A Behaviour is what one connection of a [Server] does. The zero value is a
// persistent connection that answers everything in order.
//
// Like most real servers a connection does not read while it writes. With
// small buffers it therefore stops reading requests until answers are read.
type Behaviour struct {
	// Pipelining says what becomes of requests behind an unanswered one.
	Pipelining Pipelining
	// CloseAfter is after how many answers the connection ends; 0 means never.
	CloseAfter int
	// Announce says whether the last of them carries Connection: close.
	Announce bool
	// IdleTimeout is how long the connection waits for the next request until
	// it ends; 0 means for ever.
	IdleTimeout time.Duration
	// Ending is how the connection ends, for whatever reason.
	Ending Ending
	// Mute says that requests are read and nothing is ever answered.
	Mute bool
}

// An Answer is how one request is answered. The zero value is 200 with no
// content, at once. All fields can be combined; where they contradict each
// other (content for HEAD, 204 or 304) no content is sent.
type Answer struct {
	// Status is the final status; 0 means 200.
	Status int
	// Header has further fields. Those of the framing are made by the Server,
	// unless Header has them.
	Header http.Header
	// Interims are statuses of interim responses sent before, without delay.
	Interims []int
	// Delay passes before the final response.
	Delay time.Duration

	// Body is the content. If it is nil, the content is
	// Content(target, Size).
	Body []byte
	// Size is the number of octets of content if Body is nil.
	Size int
	// Echo sends the content of the request back instead. It cannot be
	// combined with Early.
	Echo bool
	// Endless goes on with the content until the connection ends; the framing
	// is chunked, or until close.
	Endless bool
	// Chunked sends the content in chunks, and not with a Content-Length.
	Chunked bool
	// Trailer has the fields of a trailer section. If there are any, the
	// content is chunked.
	Trailer http.Header
	// UntilClose sends the content without announcing its length and ends
	// the connection after it.
	UntilClose bool
	// HTTP10 answers as an HTTP/1.0 server, and ends the connection. The
	// content is never chunked.
	HTTP10 bool
	// Piece is how many octets are written at a time, and go into a chunk.
	// 0 means all of them, and the head with them.
	Piece int
	// Pace passes before every piece.
	Pace time.Duration

	// Early sends the answer before the content of the request is read. If
	// the connection goes on, the content is read afterwards. It has no effect
	// unless the Behaviour has Pipelining InOrder and is not Mute.
	Early bool
	// No100 sends no 100 (Continue) to a request that expects one.
	No100 bool
	// Close announces the end of the connection and ends it after the answer.
	Close bool
	// Last ends the connection after the answer without announcing it.
	Last bool
	// Truncate ends the connection when TruncateAt octets of the content have
	// been sent, whatever was announced. Content framed by UntilClose looks
	// complete then, unless the Ending is a reset.
	Truncate bool
	// TruncateAt is meaningful if Truncate is set, and not more than the
	// length of the content.
	TruncateAt int
	// Surplus is octets sent directly behind the answer, in the same write.
	Surplus string
}

// A Handler decides how a request is answered. It is called when the head has
// arrived, on a goroutine of the connection, and may block.
type Handler func(*Exchange) Answer

// An Exchange is a request whose head has arrived.
type Exchange struct {
	Conn    int           // which connection of the Server, from 0
	Index   int           // which request of the connection, from 0
	Request *http.Request // its Body is not for the Handler

	// Context is done when the Server ends the connection. A Handler that
	// blocks must return then.
	Context context.Context
}

// AnswerContent is the Handler of a Server without one. It answers with
// Content(target, n), where n is the query parameter of that name or 16.
func AnswerContent(x *Exchange) Answer {
	n, err := strconv.Atoi(x.Request.URL.Query().Get("n"))
	if err != nil || n < 0 {
		n = 16
	}
	return Answer{Size: n}
}
