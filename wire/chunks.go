package wire

import (
	"net/http"
	"strconv"
)

// Chunked content is written as
//
//	AppendChunkHead, size octets of content, AppendChunkEnd  (repeated)
//	AppendLastChunk

// AppendChunkHead appends the line that precedes size octets of content. It
// panics unless size is positive: a chunk of size 0 would end the content.
func AppendChunkHead(dst []byte, size int) []byte {
	if size <= 0 {
		panic("wire: AppendChunkHead: size must be positive")
	}
	dst = strconv.AppendInt(dst, int64(size), 16)
	return append(dst, "\r\n"...)
}

// AppendChunkEnd appends what follows the content of each chunk.
func AppendChunkEnd(dst []byte) []byte {
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of chunked content and the trailer section,
// sorted by name. trailer may be nil, and should be valid: see
// [ValidateTrailer]. Fields with invalid names and fields that frame messages
// are left out, and CR and LF in values become spaces.
func AppendLastChunk(dst []byte, trailer http.Header) []byte {
	dst = append(dst, "0\r\n"...)
	dst = appendFields(dst, trailer)
	return append(dst, "\r\n"...)
}
