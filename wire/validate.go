package wire

import (
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// Validate reports whether h can be written as it is. Its error is a
// [*RequestError], which says what is wrong but shows no field values.
//
// It is stricter than net/http in one point: a target with a space in it, which
// url.Parse lets through in a query, is invalid. A recipient would see another
// HTTP version in such a request line.
func (h *RequestHead) Validate() error {
	switch {
	case !httpguts.ValidHeaderFieldName(h.method()): // a method is a token, too
		return &RequestError{What: "method", Name: h.Method}
	case !validTarget(h.Target):
		return &RequestError{What: "request target"}
	case !httpguts.ValidHostHeader(h.Host):
		return &RequestError{What: "Host header"}
	case !IsFieldValue(h.UserAgent):
		return &RequestError{What: "header field value for", Name: "User-Agent"}
	}
	if err := h.validFraming(); err != nil {
		return err
	}
	if err := validFields("header field", h.Header); err != nil {
		return err
	}
	return validFields("header field", h.Extra)
}

// validTarget reports whether s can be a request-target: at least one octet,
// no controls and no spaces. Octets above 127 pass, as in net/http.
func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

func (h *RequestHead) validFraming() error {
	switch f := h.Framing; {
	case f.Kind > Chunked:
		return &RequestError{What: "framing of a request", Name: f.Kind.String()}
	case f.Kind == Length && f.Length < 0:
		return &RequestError{What: "content length"}
	case f.Kind == Chunked:
		return validTrailerNames(h.Trailer)
	}
	return nil
}

// ValidateTrailer reports whether the fields of a trailer section can be written
// as they are. Its error is a [*RequestError].
func ValidateTrailer(trailer http.Header) error {
	if err := validTrailerNames(trailer); err != nil {
		return err
	}
	return validFields("trailer field", trailer)
}

func validTrailerNames(trailer http.Header) error {
	for name := range trailer {
		if !IsFieldName(name) {
			return &RequestError{What: "trailer field name", Name: name}
		}
		if isFramingName(canonical(name)) {
			return &RequestError{What: "Trailer key", Name: name}
		}
	}
	return nil
}

// validFields checks the names and the values of h.
func validFields(what string, h http.Header) error {
	for name, values := range h {
		if !IsFieldName(name) {
			return &RequestError{What: what + " name", Name: name}
		}
		for _, v := range values {
			if !IsFieldValue(v) {
				return &RequestError{What: what + " value for", Name: name}
			}
		}
	}
	return nil
}
