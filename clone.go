package httppipe

import (
	"maps"
	"net/http"
)

// Clone returns a Transport with deep copies of t's exported fields. It shares
// no connection with t, and no protocol added with [Transport.RegisterProtocol].
func (t *Transport) Clone() *Transport {
	c := &Transport{
		Proxy:                  t.Proxy,
		OnProxyConnectResponse: t.OnProxyConnectResponse,
		DialContext:            t.DialContext,
		Dial:                   t.Dial,
		DialTLSContext:         t.DialTLSContext,
		DialTLS:                t.DialTLS,
		TLSHandshakeTimeout:    t.TLSHandshakeTimeout,
		DisableKeepAlives:      t.DisableKeepAlives,
		DisableCompression:     t.DisableCompression,
		MaxIdleConns:           t.MaxIdleConns,
		MaxIdleConnsPerHost:    t.MaxIdleConnsPerHost,
		MaxConnsPerHost:        t.MaxConnsPerHost,
		IdleConnTimeout:        t.IdleConnTimeout,
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  t.ExpectContinueTimeout,
		TLSNextProto:           maps.Clone(t.TLSNextProto), // nil stays nil: it has a meaning
		ProxyConnectHeader:     t.ProxyConnectHeader.Clone(),
		GetProxyConnectHeader:  t.GetProxyConnectHeader,
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
		WriteBufferSize:        t.WriteBufferSize,
		ReadBufferSize:         t.ReadBufferSize,
		ForceAttemptHTTP2:      t.ForceAttemptHTTP2,
		HTTP2:                  cloneValue(t.HTTP2),
		Protocols:              cloneValue(t.Protocols),
		MaxPipelineDepth:       t.MaxPipelineDepth,
		PipelineUploads:        t.PipelineUploads,
		Classify:               t.Classify,
	}
	if t.TLSClientConfig != nil {
		c.TLSClientConfig = t.TLSClientConfig.Clone()
	}
	return c
}

// fromHTTPFields moves the exported fields of src, which must not be used by
// anyone else any more, into a Transport.
func fromHTTPFields(src *http.Transport) *Transport {
	return &Transport{
		Proxy:                  src.Proxy,
		OnProxyConnectResponse: src.OnProxyConnectResponse,
		DialContext:            src.DialContext,
		Dial:                   src.Dial, //lint:ignore SA1019 copied as it is
		DialTLSContext:         src.DialTLSContext,
		DialTLS:                src.DialTLS, //lint:ignore SA1019 copied as it is
		TLSClientConfig:        src.TLSClientConfig,
		TLSHandshakeTimeout:    src.TLSHandshakeTimeout,
		DisableKeepAlives:      src.DisableKeepAlives,
		DisableCompression:     src.DisableCompression,
		MaxIdleConns:           src.MaxIdleConns,
		MaxIdleConnsPerHost:    src.MaxIdleConnsPerHost,
		MaxConnsPerHost:        src.MaxConnsPerHost,
		IdleConnTimeout:        src.IdleConnTimeout,
		ResponseHeaderTimeout:  src.ResponseHeaderTimeout,
		ExpectContinueTimeout:  src.ExpectContinueTimeout,
		TLSNextProto:           src.TLSNextProto,
		ProxyConnectHeader:     src.ProxyConnectHeader,
		GetProxyConnectHeader:  src.GetProxyConnectHeader,
		MaxResponseHeaderBytes: src.MaxResponseHeaderBytes,
		WriteBufferSize:        src.WriteBufferSize,
		ReadBufferSize:         src.ReadBufferSize,
		ForceAttemptHTTP2:      src.ForceAttemptHTTP2,
		HTTP2:                  src.HTTP2,
		Protocols:              src.Protocols,
	}
}

// cloneValue returns a pointer to a copy of *p, or nil.
func cloneValue[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
