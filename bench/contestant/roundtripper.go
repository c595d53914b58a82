package contestant

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// readSize is the size of a caller's buffer: a 64 KiB body in one Read, if the
// transport has it.
const readSize = 64 << 10

// clientTimeout is never reached; setting it is what costs.
const clientTimeout = time.Minute

// commonHeader is what all contestants send.
var commonHeader = http.Header{
	"Accept":     {"*/*"},
	"User-Agent": {"bench/1.0"},
}

// roundTripper makes a contestant of an http.RoundTripper.
func roundTripper(rt http.RoundTripper, cfg Config) Contestant { return &rtContestant{rt, cfg} }

type rtContestant struct {
	rt  http.RoundTripper
	cfg Config
}

func (c *rtContestant) NewWorker() Worker {
	w := &rtWorker{rt: c.rt, base: c.cfg.base(), mode: c.cfg.Mode}
	switch c.cfg.Mode {
	case Client:
		w.client = &http.Client{Transport: c.rt}
	case Timeout:
		w.client = &http.Client{Transport: c.rt, Timeout: clientTimeout}
	}
	return w
}

type rtWorker struct {
	rt     http.RoundTripper
	base   string
	mode   Mode
	client *http.Client // unless mode is Reuse
	reused map[*Op]*http.Request
	buf    []byte // made when first needed: of 10,000 waiting callers none has one
}

func (w *rtWorker) Do(op *Op) error {
	ctx := context.Background()
	if w.mode == Client {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	resp, err := w.send(ctx, op)
	if err != nil {
		return err
	}
	n, err := w.drain(resp.Body)
	resp.Body.Close()
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return errStatus
	}
	return checkLength(op, n)
}

func (w *rtWorker) send(ctx context.Context, op *Op) (*http.Response, error) {
	switch {
	case op.Upload != nil:
		return w.upload(op)
	case w.client != nil:
		return w.do(ctx, op)
	}
	req, err := w.request(op)
	if err != nil {
		return nil, err
	}
	return w.rt.RoundTrip(req)
}

// do uses http.Client as an application would.
func (w *rtWorker) do(ctx context.Context, op *Op) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, op.method(), w.base+op.Path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range commonHeader {
		req.Header.Set(name, values[0])
	}
	return w.client.Do(req)
}

func (w *rtWorker) upload(op *Op) (*http.Response, error) {
	body, err := op.Upload()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(op.method(), w.base+op.Path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = op.UploadLen
	req.Header = commonHeader.Clone()
	return w.rt.RoundTrip(req)
}

// request returns this worker's request for op, always the same.
func (w *rtWorker) request(op *Op) (*http.Request, error) {
	if req := w.reused[op]; req != nil {
		return req, nil
	}
	u, err := url.Parse(w.base + op.Path)
	if err != nil {
		return nil, err
	}
	req := &http.Request{
		Method: op.method(), URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: commonHeader.Clone(),
	}
	if w.reused == nil {
		w.reused = make(map[*Op]*http.Request)
	}
	w.reused[op] = req
	return req, nil
}

func (w *rtWorker) drain(body io.Reader) (int64, error) {
	if w.buf == nil {
		w.buf = make([]byte, readSize)
	}
	var total int64
	for {
		n, err := body.Read(w.buf)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
