package httppipe

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"

	"github.com/httppipe/httppipe/wire"
	"golang.org/x/net/http/httpguts"
)

// An outgoing is a request that was found to be valid, and what was decided about
// it once for all attempts to send it.
type outgoing struct {
	req   *http.Request
	trace *httptrace.ClientTrace // of the request's context, or nil
	head  wire.RequestHead
	gate  traceGate // for what dials tell trace

	names      wire.NameSet // in the request's header; empty if they are not known
	loaded     bool         // the content was looked at
	handedOver bool         // another protocol has had the body
	body       *requestBody // nil without content
	content    []byte       // all of the body's content, if it lies in memory

	shareable  bool // others may be in flight on its connection
	vouched    bool // shareable because the user says so, and not by its method
	alone      bool // not shareable, and its connection is its own until its response has ended
	replayable bool // may be sent again after its connection died without an answer
	rescuable  bool // may be sent again while its first copy may still be answered
	gzip       bool // compression was asked for on the user's behalf
	expect     bool // the content waits for 100 (Continue)
}

// gzipField is added to requests that leave compression to the Transport.
var gzipField = http.Header{"Accept-Encoding": {"gzip"}}

// validate finds what net/http would refuse before it looks at the scheme.
func (o *outgoing) validate(req *http.Request) (err error) {
	switch {
	case req.URL == nil:
		return errors.New("http: nil Request.URL")
	case req.Header == nil:
		return errors.New("http: nil Request.Header")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return nil // a registered protocol may have rules of its own
	}
	if o.names, err = validateFields("header", req.Header); err != nil {
		return err
	}
	_, err = validateFields("trailer", req.Trailer)
	return err
}

// validateFields refuses fields that could be taken for more than one, and returns
// the names of the others. Values stay out of the error: they may be secrets.
func validateFields(section string, fields http.Header) (names wire.NameSet, err error) {
	for name, values := range fields {
		if !wire.IsFieldName(name) {
			return 0, fmt.Errorf("net/http: invalid %s field name %q", section, name)
		}
		for _, v := range values {
			if !wire.IsFieldValue(v) {
				return 0, fmt.Errorf("net/http: invalid %s field value for %q", section, name)
			}
		}
		names.Add(name)
	}
	return names, nil
}

// lookup returns what the request's header has under a canonical name.
func (o *outgoing) lookup(name string) (values []string, ok bool) {
	return o.names.Lookup(o.req.Header, name)
}

// values is lookup for those to whom a field without values is none.
func (o *outgoing) values(name string) []string {
	values, _ := o.lookup(name)
	return values
}

// validateHTTP finds what net/http would refuse in a request for http or https.
func validateHTTP(req *http.Request) error {
	if scheme := req.URL.Scheme; scheme != "http" && scheme != "https" {
		return fmt.Errorf("unsupported protocol scheme %q", scheme)
	}
	return validateMethodAndHost(req)
}

func validateMethodAndHost(req *http.Request) error {
	switch {
	case req.Method != "" && !isToken(req.Method):
		return fmt.Errorf("net/http: invalid method %q", req.Method)
	case req.URL.Host == "":
		return errors.New("http: no Host in request URL")
	}
	return nil
}

// isToken reports whether s is a token (RFC 9110, Section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !httpguts.IsTokenRune(r) })
}

// prepare decides how req is sent over r, and whether it may share a connection
// and be sent again. The content is left alone: see load.
func (o *outgoing) prepare(t *Transport, req *http.Request, r *route) error {
	o.req = req
	if req.Body == nil && req.ContentLength != 0 {
		return fmt.Errorf("http: Request.ContentLength=%d with nil Body", req.ContentLength)
	}
	if err := o.prepareHead(t, r); err != nil {
		return err
	}
	o.classify(t)
	return nil
}

func (o *outgoing) prepareHead(t *Transport, r *route) (err error) {
	req, h := o.req, &o.head
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	h.Method = method(req)
	if h.Host, err = wire.RequestHost(host, r.viaHTTPProxy()); err != nil {
		return fmt.Errorf("http: invalid %w", err)
	}
	if h.Target, err = wire.RequestTarget(h.Method, req.URL, h.Host, r.viaHTTPProxy()); err != nil {
		return fmt.Errorf("net/http: can't write control character in Request.URL")
	}
	h.UserAgent = "Go-http-client/1.1"
	if ua, ok := o.lookup("User-Agent"); ok {
		h.UserAgent = ""
		if len(ua) > 0 {
			h.UserAgent = ua[0]
		}
	}
	h.Header = req.Header
	h.Close = req.Close || t.DisableKeepAlives && !o.isUpgrade()
	if o.gzip = o.wantsGzip(t); o.gzip {
		h.Extra = gzipField
	}
	if auth := r.proxyAuth(); auth != "" && r.viaHTTPProxy() && len(o.values("Proxy-Authorization")) == 0 {
		h.Extra = h.Extra.Clone()
		if h.Extra == nil {
			h.Extra = make(http.Header)
		}
		h.Extra.Set("Proxy-Authorization", auth)
	}
	return nil
}

func method(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

// wantsGzip reports whether compression is asked for on the user's behalf: not if
// the user has an opinion, and not for HEAD or a range.
func (o *outgoing) wantsGzip(t *Transport) bool {
	return !t.DisableCompression && o.req.Method != http.MethodHead &&
		o.lacks("Accept-Encoding") && o.lacks("Range")
}

// lacks reports whether the first value of the field with the canonical name given
// is empty, or there is none.
func (o *outgoing) lacks(name string) bool {
	values := o.values(name)
	return len(values) == 0 || values[0] == ""
}

func (o *outgoing) isUpgrade() bool {
	return httpguts.HeaderValuesContainsToken(o.values("Connection"), "upgrade")
}

func (o *outgoing) expectsContinue() bool {
	return httpguts.HeaderValuesContainsToken(o.values("Expect"), "100-continue")
}

// load finds out what content the request has, and how it is framed: as net/http
// does, which probes a body of unknown length of a GET for whether there is any.
// It may block, and is called once there is a connection.
func (o *outgoing) load() error {
	req, h := o.req, &o.head
	if o.loaded {
		return nil
	}
	o.loaded = true
	length := outgoingLength(req)
	chunked := req.Body != nil && len(req.TransferEncoding) > 0 && strings.EqualFold(req.TransferEncoding[0], "chunked")
	switch {
	case length != 0 || chunked:
		o.body = newRequestBody(req.Body, length)
	case req.Body != nil:
		req.Body.Close()
	}
	if length < 0 && !chunked && h.Method != http.MethodConnect {
		chunked = len(req.TransferEncoding) == 0
		if chunked && usuallyLacksContent(h.Method) && o.body.isEmpty() {
			o.body.finish()
			o.body, chunked, length = nil, false, 0
		}
	}
	switch {
	case chunked:
		h.Framing.Kind = wire.Chunked
		h.Trailer = req.Trailer
		return wire.ValidateTrailer(req.Trailer)
	case length < 0:
		h.Framing.Kind = wire.Tunnel // octets that are not framed: CONNECT
	case length > 0 || sendsZeroLength(req, h.Method):
		h.Framing = wire.Framing{Kind: wire.Length, Length: length}
	}
	if length > 0 {
		return o.takeMemory(length)
	}
	return nil
}

// takeMemory takes content that lies in memory out of the body, and refuses it if
// it is not as long as was announced.
func (o *outgoing) takeMemory(length int64) error {
	content, ok := o.body.inMemory()
	if !ok || length < 0 {
		o.content = nil
		return nil
	}
	if int64(len(content)) != length {
		o.body.n = int64(len(content))
		return &bodyError{err: o.body.lengthError()}
	}
	o.content = content
	return nil
}

// outgoingLength is the length of req's content, or -1 if there is content of
// unknown length.
func outgoingLength(req *http.Request) int64 {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return 0
	case req.ContentLength != 0:
		return req.ContentLength
	}
	return -1
}

// usuallyLacksContent lists the methods for which a framing field could confuse
// an origin if there is no content after all.
func usuallyLacksContent(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH"}, method)
}

// sendsZeroLength reports whether no content is announced explicitly, because
// servers expect that of the method.
func sendsZeroLength(req *http.Request, method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	case http.MethodGet, http.MethodHead:
		return false
	}
	return len(req.TransferEncoding) == 1 && req.TransferEncoding[0] == "identity"
}
