package wire

import "net/http"

// A ChunkedDecoder removes the chunked transfer coding (RFC 9112, Section 7.1)
// from octets as they arrive. The zero value is ready to use.
//
// It is strict about line ends: CR and LF, neither without the other, around
// chunks and in the trailer section. How recipients read a lone LF there is
// where they have disagreed about the end of a message.
// Chunk extensions are skipped.
type ChunkedDecoder struct {
	// Limits applies to the coding. Set it before the first call, if at all.
	Limits Limits

	state   chunkState
	size    int64 // octets of the current chunk not seen yet; while in chunkSize, its size so far
	digits  int   // of the current chunk-size
	line    int   // octets of the current chunk-size line, its CRLF included
	excess  int64 // octets of framing that no content justifies
	section []byte
	trailer http.Header
	err     error // the first error; every call returns it
}

// chunkState says what the next octet is part of.
type chunkState uint8

const (
	chunkSize      chunkState = iota // the digits of chunk-size
	chunkBWS                         // white space behind chunk-size
	chunkExt                         // an extension
	chunkSizeLF                      // the LF that ends a chunk-size line
	chunkData                        // content
	chunkDataCR                      // the CRLF behind content
	chunkDataLF                      //
	trailerStart                     // the beginning of a line of the trailer section
	trailerLine                      // the rest of such a line
	trailerLineLF                    // the LF that ends it
	trailerEmptyLF                   // the LF of the empty line that ends the section
	chunkDone                        // the next message; not ours
)

// A sender of one octet per chunk sends five octets of framing with each, and
// may have a reason to. Extensions let it send any amount. So each chunk may
// have 16 octets of framing and two for each octet of its content, and what
// goes beyond that must not add up to more than maxChunkExcess. The numbers are
// net/http's.
const (
	chunkAllowance = 16
	maxChunkExcess = 16 << 10
	maxJustified   = 1 << 60 // octets of content that count; twice as many do not overflow
)

// maxSizeDigits is how many hexadecimal digits a chunk-size may have, leading
// zeros included, as in net/http.
const maxSizeDigits = 16

// Next decodes the beginning of b. It consumes n octets of b, and data is the
// part of them that is content; data may be empty, and is a part of b itself.
// Call again with the octets behind the first n, until n is 0: then the coding
// has ended if [ChunkedDecoder.Done] says so, or more octets are needed. No
// octet needs to be presented twice.
//
// Any error is a [*SyntaxError] or a [*LimitError], is final, and means that the
// end of the message will not be found. Content returned before is content.
func (d *ChunkedDecoder) Next(b []byte) (data []byte, n int, err error) {
	for n < len(b) && d.state != chunkDone && d.err == nil {
		if d.state == chunkData {
			end := n + int(min(int64(len(b)-n), d.size))
			data = b[n:end:end]
			d.Skip(int64(len(data)))
			return data, end, nil
		}
		d.err = d.step(b[n])
		n++
	}
	if d.err != nil {
		return nil, 0, d.err
	}
	return nil, n, nil
}

// Frame is [ChunkedDecoder.Next] for callers that take the content themselves:
// it consumes n octets of b up to the next content, of which it consumes none.
// Then [ChunkedDecoder.Remaining] says how much content follows, or
// [ChunkedDecoder.Done] that there is no more. If neither does, more octets are
// needed.
func (d *ChunkedDecoder) Frame(b []byte) (n int, err error) {
	for n < len(b) && d.state != chunkDone && d.state != chunkData && d.err == nil {
		d.err = d.step(b[n])
		n++
	}
	if d.err != nil {
		return 0, d.err
	}
	return n, nil
}

// Done reports whether the whole content and the trailer section were consumed.
// The octets behind them belong to the next message.
func (d *ChunkedDecoder) Done() bool { return d.state == chunkDone }

// Remaining returns how many octets of content the current chunk still has to
// come: the next so many octets on the connection are content and nothing else.
// A caller may read up to that many into its own memory without passing them
// to Next, and report them to [ChunkedDecoder.Skip].
func (d *ChunkedDecoder) Remaining() int64 {
	if d.state != chunkData || d.err != nil {
		return 0
	}
	return d.size
}

// Skip tells d that the caller has taken the next n octets of content from the
// connection by itself. It panics if n is negative or more than Remaining.
func (d *ChunkedDecoder) Skip(n int64) {
	if n < 0 || n > d.Remaining() {
		panic("wire: ChunkedDecoder.Skip: not that much content in the current chunk")
	}
	if n == 0 {
		return
	}
	d.size -= n
	if d.size == 0 {
		d.state = chunkDataCR
	}
}

// Trailer returns the trailer fields once Done is true; nil if there are none.
func (d *ChunkedDecoder) Trailer() http.Header { return d.trailer }

// step consumes one octet that is not content.
func (d *ChunkedDecoder) step(c byte) error {
	switch d.state {
	case chunkSize, chunkBWS, chunkExt, chunkSizeLF:
		return d.sizeLine(c)
	case chunkDataCR:
		return d.expect(c, '\r', chunkDataLF, "malformed chunked encoding: no CRLF behind a chunk")
	case chunkDataLF:
		return d.expect(c, '\n', chunkSize, "malformed chunked encoding: no CRLF behind a chunk")
	}
	return d.trailerOctet(c)
}

// expect consumes c if it is want.
func (d *ChunkedDecoder) expect(c, want byte, next chunkState, what string) error {
	if c != want {
		return &SyntaxError{What: what}
	}
	d.state = next
	return nil
}

// sizeLine consumes an octet of
//
//	chunk-size [ BWS chunk-ext ] CRLF
func (d *ChunkedDecoder) sizeLine(c byte) error {
	if d.line++; d.line > d.maxLine() {
		return &LimitError{What: LimitChunkLine, Limit: int64(d.maxLine()), Unit: "bytes"}
	}
	switch {
	case d.state == chunkSizeLF:
		return d.beginChunk(c)
	case c == '\n':
		return &SyntaxError{What: "malformed chunked encoding: chunked line ends with bare LF"}
	case c == '\r' && d.digits > 0:
		d.state = chunkSizeLF
	case d.state == chunkExt:
		// skipped
	case c == ';' && d.digits > 0:
		d.state = chunkExt
	case (c == ' ' || c == '\t') && d.digits > 0:
		d.state = chunkBWS
	case d.state == chunkSize:
		return d.sizeDigit(c)
	default:
		return syntaxError("malformed chunked encoding: invalid byte behind chunk length", []byte{c})
	}
	return nil
}

func (d *ChunkedDecoder) maxLine() int {
	if d.Limits.ChunkLine > 0 {
		return d.Limits.ChunkLine
	}
	return DefaultChunkLineLimit
}

// sizeDigit consumes one digit of chunk-size.
func (d *ChunkedDecoder) sizeDigit(c byte) error {
	digit := unhex(c)
	if digit < 0 {
		if d.digits == 0 && c == '\r' {
			return &SyntaxError{What: "malformed chunked encoding: empty hex number for chunk length"}
		}
		return syntaxError("malformed chunked encoding: invalid byte in chunk length", []byte{c})
	}
	if d.digits++; d.digits > maxSizeDigits || d.size>>59 != 0 {
		return &SyntaxError{What: "malformed chunked encoding: http chunk length too large"}
	}
	d.size = d.size<<4 | int64(digit)
	return nil
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// beginChunk consumes the LF of a chunk-size line.
func (d *ChunkedDecoder) beginChunk(c byte) error {
	if c != '\n' {
		return &SyntaxError{What: "malformed chunked encoding: invalid CR in chunked line"}
	}
	line := d.line
	d.line, d.digits = 0, 0
	if d.size == 0 {
		d.state = trailerStart
		return nil
	}
	d.state = chunkData
	d.excess += int64(line) - chunkAllowance - 2*min(d.size, maxJustified)
	d.excess = max(d.excess, 0)
	if d.excess > maxChunkExcess {
		return &LimitError{What: "chunked encoding contains too much non-data; it", Limit: maxChunkExcess, Unit: "bytes"}
	}
	return nil
}

// trailerOctet consumes an octet of
//
//	trailer-section CRLF
func (d *ChunkedDecoder) trailerOctet(c byte) error {
	switch {
	case d.state == trailerEmptyLF:
		return d.endTrailer(c)
	case d.state == trailerStart && c == '\r':
		d.state = trailerEmptyLF
		return nil
	case d.state == trailerLineLF && c == '\n':
		d.state = trailerStart
	case d.state == trailerLineLF:
		return &SyntaxError{What: "malformed MIME header: invalid CR in a trailer line"}
	case c == '\n':
		return &SyntaxError{What: "malformed MIME header: trailer line ends with bare LF"}
	case c == '\r':
		d.state = trailerLineLF
	default:
		d.state = trailerLine
	}
	d.section = append(d.section, c)
	if limit := d.Limits.withDefaults().Trailer; int64(len(d.section)) > limit {
		return &LimitError{What: "trailer section", Limit: limit, Unit: "bytes"}
	}
	return nil
}

// endTrailer consumes the last octet of the coding and parses the fields.
func (d *ChunkedDecoder) endTrailer(c byte) error {
	if c != '\n' {
		return &SyntaxError{What: "malformed MIME header: invalid CR in a trailer line"}
	}
	if len(d.section) > 0 {
		fields, err := parseFields(string(d.section), d.Limits.withDefaults().Fields)
		if err != nil {
			return err
		}
		d.trailer, d.section = fields.header, nil
	}
	d.state = chunkDone
	return nil
}
