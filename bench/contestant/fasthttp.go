package contestant

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

func init() {
	register("fasthttp", func(cfg Config) (Contestant, error) { return &fast{patient{hostClient(cfg)}, cfg}, nil })
	register("fasthttp-pipe", func(cfg Config) (Contestant, error) { return &fast{pipelineClient(cfg), cfg}, nil })
	register("fasthttp-rt", func(cfg Config) (Contestant, error) {
		return roundTripper(&fastTransport{patient{hostClient(cfg)}}, cfg), nil
	})
	register("fasthttp-pipe-rt", func(cfg Config) (Contestant, error) {
		return roundTripper(&fastTransport{pipelineClient(cfg)}, cfg), nil
	})
}

// A doer is either of fasthttp's clients.
type doer interface {
	Do(*fasthttp.Request, *fasthttp.Response) error
}

func hostClient(cfg Config) *fasthttp.HostClient {
	conns := cfg.Conns
	if conns == 0 {
		conns = cfg.Concurrency
	}
	return &fasthttp.HostClient{
		Addr:                cfg.Addr,
		IsTLS:               cfg.TLS,
		TLSConfig:           cfg.tlsConfig(),
		Dial:                cfg.dialFast,
		MaxConns:            conns,
		MaxConnWaitTimeout:  time.Second, // see patient
		MaxIdleConnDuration: time.Minute,
		ReadBufferSize:      16 << 10,
		WriteBufferSize:     16 << 10,
	}
}

// patient waits for a free connection rather than to fail the callers in excess. One
// long MaxConnWaitTimeout would not do: in fasthttp 1.73.0, who begins to wait in the
// instant in which the last connection is given back is not told of it.
type patient struct{ doer }

func (p patient) Do(req *fasthttp.Request, resp *fasthttp.Response) error {
	for range 30 {
		if err := p.doer.Do(req, resp); err != fasthttp.ErrNoFreeConns {
			return err
		}
	}
	return fasthttp.ErrNoFreeConns
}

func pipelineClient(cfg Config) *fasthttp.PipelineClient {
	return &fasthttp.PipelineClient{
		Addr:      cfg.Addr,
		IsTLS:     cfg.TLS,
		TLSConfig: cfg.tlsConfig(),
		Dial:      cfg.dialFast,
		MaxConns:  max(1, cfg.Conns),
		// With fewer than there are callers it fails requests.
		MaxPendingRequests:  max(1024, 2*cfg.Concurrency),
		MaxIdleConnDuration: time.Minute,
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
	}
}

func (c Config) dialFast(addr string) (net.Conn, error) {
	return c.Dial(context.Background(), "tcp", addr)
}

// fast uses fasthttp as it wants to be used: request and response objects are
// kept, the content stays in fasthttp's buffer.
type fast struct {
	client doer
	cfg    Config
}

func (c *fast) NewWorker() Worker {
	return &fastWorker{client: c.client, base: c.cfg.base(), req: new(fasthttp.Request), resp: new(fasthttp.Response)}
}

type fastWorker struct {
	client doer
	base   string
	last   *Op // what req is set up for
	req    *fasthttp.Request
	resp   *fasthttp.Response
}

func (w *fastWorker) Do(op *Op) error {
	if w.last != op || op.Upload != nil {
		if err := w.prepare(op); err != nil {
			return err
		}
	}
	if err := w.client.Do(w.req, w.resp); err != nil {
		return err
	}
	if w.resp.StatusCode() != 200 {
		return errStatus
	}
	return checkLength(op, int64(len(w.resp.Body())))
}

func (w *fastWorker) prepare(op *Op) error {
	w.last = op
	w.req.Reset()
	w.req.Header.SetMethod(op.method())
	w.req.SetRequestURI(w.base + op.Path)
	for name, values := range commonHeader {
		w.req.Header.Set(name, values[0])
	}
	switch {
	case op.Mem != nil:
		w.req.SetBodyRaw(op.Mem)
	case op.Upload != nil:
		r, err := op.Upload()
		if err != nil {
			return err
		}
		w.req.SetBodyStream(r, int(op.UploadLen))
	}
	return nil
}

// fastTransport makes an http.RoundTripper of fasthttp: a Header map and a Body
// that belong to the caller. It is as lean as fasthttp's API allows.
type fastTransport struct{ client doer }

func (t *fastTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	req := fasthttp.AcquireRequest()
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(r.Method)
	req.SetRequestURI(r.URL.String())
	if r.Host != r.URL.Host {
		// Not otherwise: fasthttp then sends the URL as it is, in absolute form.
		req.Header.SetHost(r.Host)
	}
	for name, values := range r.Header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	if r.Body != nil {
		req.SetBodyStream(r.Body, int(r.ContentLength))
	}
	if err := t.client.Do(req, resp); err != nil {
		return nil, err
	}
	return fastResponse(r, resp), nil
}

func fastResponse(r *http.Request, resp *fasthttp.Response) *http.Response {
	h := make(http.Header, 10)
	for name, value := range resp.Header.All() {
		h[string(name)] = append(h[string(name)], string(value))
	}
	body := bytes.Clone(resp.Body())
	return &http.Response{
		StatusCode: resp.StatusCode(),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1,
		Header:        h,
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(bytes.NewReader(body)),
		Request:       r,
	}
}
