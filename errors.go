package httppipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/httppipe/httppipe/pipeline"
	"github.com/httppipe/httppipe/wire"
)

// ErrUnprocessed is what the error of a RoundTrip is, by [errors.Is], when the
// connection that the request was given has failed before one octet of the request
// was sent on it, and none was in an earlier attempt: the origin cannot have acted
// on the request. It can be sent again, whatever its method.
//
// An error that is not ErrUnprocessed leaves that open. What happens before there is
// a connection is reported as by net/http, value for value, because programs look
// for these: the errors of dialing, TLS and proxies, and the end of the request's
// context. The origin has seen nothing of such a request either, if its
// httptrace.ClientTrace.GotConn was not called.
var ErrUnprocessed = errors.New("httppipe: the request was not processed")

// errCanceledWaiting is what net/http calls the end of a request by Request.Cancel or
// CancelRequest when there is no connection for it yet.
var errCanceledWaiting = errors.New("net/http: request canceled while waiting for connection")

// An ExchangeError reports a request that got no response. It is a [net.Error].
//
// Its text is that of its cause, which is what net/http would have returned. As
// in net/http, the error that a connection ended with before any octet of the
// response arrived (io.EOF, a *net.OpError) is returned as it is, unless the
// request is unprocessed; so is that of a context which ends while the request is
// on its way, and that of the request's own body.
type ExchangeError struct {
	Method      string
	Unprocessed bool  // the origin cannot have acted on the request
	Err         error // the cause; never nil
}

func (e *ExchangeError) Error() string { return e.Err.Error() }
func (e *ExchangeError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrUnprocessed) the question whether to try again.
func (e *ExchangeError) Is(target error) bool { return target == ErrUnprocessed && e.Unprocessed }

// Timeout implements [net.Error].
func (e *ExchangeError) Timeout() bool {
	var ne net.Error
	return errors.As(e.Err, &ne) && ne.Timeout()
}

// Temporary implements [net.Error], as its cause does.
func (e *ExchangeError) Temporary() bool {
	var t interface{ Temporary() bool }
	return errors.As(e.Err, &t) && t.Temporary()
}

// exchangeError turns the error of an attempt into the caller's.
func (rt *roundTrip) exchangeError(err error) error {
	var failed *pipeline.CallError
	var own *bodyError
	switch {
	case errors.As(err, &own) && own.begun:
		return rt.broken(own.err)
	case errors.As(err, &own):
		return own.err
	case !errors.As(err, &failed):
		return err // the end of the request's context, or its Cancel
	case errors.Is(err, pipeline.ErrHeadTimeout):
		return pipeline.ErrHeadTimeout
	case failed.Unsent:
		return &ExchangeError{Method: rt.out.head.Method, Unprocessed: !rt.sent, Err: cause(failed.Err)}
	case neverAnswered(failed.Err):
		return cause(failed.Err)
	}
	return rt.broken(cause(failed.Err))
}

// broken is the error of a connection that is of no further use because of err,
// after the request was sent.
func (rt *roundTrip) broken(err error) error {
	return &ExchangeError{
		Method: rt.out.head.Method,
		Err:    fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", err),
	}
}

// neverAnswered reports whether a connection ended, as far as reading from it can
// tell, before the first octet of the response.
func neverAnswered(err error) bool {
	var closed *pipeline.ConnectionError
	if !errors.As(err, &closed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return false
	}
	var op *net.OpError
	if errors.As(closed.Err, &op) && op.Op == "write" {
		return false
	}
	_, several := closed.Err.(interface{ Unwrap() []error })
	return !several && closed.Err != pipeline.ErrRetired && closed.Err != pipeline.ErrSurplus
}

// cause takes the layers off an error that say no more than its cause. Of several
// causes the first led to the others.
func cause(err error) error {
	var closed *pipeline.ConnectionError
	var invalid *pipeline.InvalidResponseError
	var limit *wire.LimitError
	switch {
	case errors.As(err, &closed) && closed.Err != nil:
		if several, ok := closed.Err.(interface{ Unwrap() []error }); ok {
			return cause(several.Unwrap()[0])
		}
		return closed.Err
	case errors.As(err, &limit) && limit.What == wire.LimitHead:
		return fmt.Errorf("net/http: %w; aborted", limit)
	case errors.As(err, &invalid):
		return invalid.Err
	}
	return err
}

// contentError turns the error of reading content into what net/http returns.
func contentError(err error) error {
	var limit *wire.LimitError
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed):
		return io.ErrUnexpectedEOF
	case errors.As(err, &limit) && limit.What == wire.LimitChunkLine:
		return http.ErrLineTooLong
	}
	return cause(err)
}

// canceled reports why ctx or the request's Cancel has ended it, or nil.
func canceled(ctx context.Context, cancel <-chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-cancel:
		return pipeline.ErrCanceled
	default:
		return nil
	}
}

// clientTimeoutGrace is how long awaitClientTimeout waits.
const clientTimeoutGrace = 10 * time.Millisecond

// awaitClientTimeout lets an http.Client find out that its Timeout is over. It
// gives transports that are not net/http's a context with a deadline and, by a
// timer for the same time, a Cancel; and it mentions Timeout in the error only if
// that timer was first.
func awaitClientTimeout(ctx context.Context, cancel <-chan struct{}) {
	if cancel == nil || ctx.Err() != context.DeadlineExceeded {
		return
	}
	timer := time.NewTimer(clientTimeoutGrace)
	defer timer.Stop()
	select {
	case <-cancel:
	case <-timer.C:
	}
}
