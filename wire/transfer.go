package wire

import (
	"net/http"
	"strings"
)

// TakeTransfer moves out of h.Header what http.Response reports elsewhere, so
// that Header and the rest of an http.Response can be filled in as
// http.ReadResponse would: Transfer-Encoding, Trailer and Content-Length of
// chunked content, repetitions of Content-Length, and a Connection field that
// says close.
//
// f is what [ResponseFraming] returned for h and method. The only error is a
// [*SyntaxError] for a Trailer field that announces a field which frames
// messages.
func (h *ResponseHead) TakeTransfer(method string, f Framing) (Transfer, error) {
	chunked, hasCoding, _ := isChunked(h)
	untilClose := f.Kind == UntilClose || f.Kind == Tunnel && h.StatusCode != 101
	t := Transfer{Close: !h.KeepAlive() || untilClose, ContentLength: h.announcedLength(method, f)}
	if t.Close && h.atLeast11() && h.saysClose() {
		delete(h.Header, "Connection")
	}
	if hasCoding {
		delete(h.Header, "Transfer-Encoding")
	}
	if h.names == 0 || h.repeated.MayHave("Content-Length") {
		if values := h.Values("Content-Length"); len(values) > 1 {
			h.Header["Content-Length"] = values[:1:1]
		}
	}
	if f.Kind == Chunked {
		delete(h.Header, "Content-Length")
	}
	if !chunked {
		return t, nil
	}
	t.TransferEncoding = []string{"chunked"}
	var err error
	t.Trailer, err = announcedTrailer(h.Values("Trailer"))
	delete(h.Header, "Trailer")
	return t, err
}

// announcedLength is http.Response.ContentLength. An answer to HEAD says how
// long the content would be.
func (h *ResponseHead) announcedLength(method string, f Framing) int64 {
	switch {
	case method == "HEAD":
		if n, ok, _ := contentLength(h.Values("Content-Length")); ok {
			return n
		}
		return -1
	case f.Kind == Length:
		return f.Length
	case f.Kind == NoContent, h.StatusCode == 101:
		return 0
	}
	return -1
}

// announcedTrailer parses the values of the Trailer field (RFC 9110,
// Section 6.6.2).
func announcedTrailer(values []string) (http.Header, error) {
	var trailer http.Header
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = canonical(trimOWS(name))
			if name == "" {
				continue
			}
			if isFramingName(name) {
				return nil, syntaxError("bad trailer key", name)
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	return trailer, nil
}

// isFramingName reports whether a canonical name is one that must not appear
// in a trailer section, because it says how the message is framed
// (RFC 9110, Section 6.5.1).
func isFramingName(name string) bool {
	return name == "Transfer-Encoding" || name == "Content-Length" || name == "Trailer"
}
