package wire

import (
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// RequestHost turns the host of a request, as in http.Request.Host or url.URL.Host,
// into the value of its Host field, as net/http does: international names become
// ASCII, and a zone is removed from an IPv6 address (RFC 6874, Section 4).
//
// A host that is not valid becomes an empty value, which is a valid one, because
// programs that dial a Unix socket put its path there. To a proxy an empty
// value would say nothing, so viaProxy makes it a [*RequestError].
func RequestHost(host string, viaProxy bool) (string, error) {
	host, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return "", &RequestError{What: "host: " + err.Error()}
	}
	if !httpguts.ValidHostHeader(host) {
		if viaProxy {
			return "", &RequestError{What: "Host header"}
		}
		return "", nil
	}
	return withoutZone(host), nil
}

// withoutZone turns "[fe80::1%en0]:80" into "[fe80::1]:80".
func withoutZone(host string) string {
	end := strings.LastIndexByte(host, ']')
	if end < 0 || host[0] != '[' {
		return host
	}
	zone := strings.LastIndexByte(host[:end], '%')
	if zone < 0 {
		return host
	}
	return host[:zone] + host[end:]
}

// RequestTarget chooses among the four forms of a request-target as net/http
// does (RFC 9112, Section 3.2):
//
//	absolute-form   to a proxy that is not tunnelled through
//	authority-form  CONNECT
//	asterisk-form   the path "*", meant for OPTIONS
//	origin-form     otherwise
//
// host is what [RequestHost] returned. u.Opaque is taken as it is. A control
// octet in the target is a [*RequestError]. A plain path costs no allocation.
func RequestTarget(method string, u *url.URL, host string, viaProxy bool) (string, error) {
	target := u.RequestURI()
	switch {
	case viaProxy && u.Scheme != "" && u.Opaque == "":
		target = u.Scheme + "://" + host + target
	case method == "CONNECT" && u.Path == "":
		target = host
		if u.Opaque != "" {
			target = u.Opaque
		}
	}
	for i := range len(target) {
		if target[i] < ' ' || target[i] == 0x7f {
			return "", &RequestError{What: "request target: control character in the URL"}
		}
	}
	return target, nil
}
