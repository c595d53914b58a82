package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/httppipe/httppipe/wire"
)

var (
	// ErrConnectionClosed is what every error for a lost connection is, by
	// [errors.Is], whatever the operating system called it.
	ErrConnectionClosed = errors.New("pipeline: connection closed")

	// ErrWouldBlock is returned by the non-blocking calls, those named Try, when
	// nothing can be done now.
	ErrWouldBlock error = errWouldBlock{}

	// ErrUnsupportedResponse is what the error for a well-formed response is, by
	// [errors.Is], that this package cannot delimit.
	ErrUnsupportedResponse = errors.New("pipeline: unsupported response")

	// ErrSurplus says that the peer sent octets that no request has asked for.
	ErrSurplus = errors.New("pipeline: octets received that answer no request")
)

// A ConnectionError says that a connection was lost or given up. It is
// [ErrConnectionClosed] for errors.Is.
type ConnectionError struct {
	Err error // the cause: io.EOF, io.ErrUnexpectedEOF, a *net.OpError, ...
}

func (e *ConnectionError) Error() string        { return "pipeline: connection closed: " + e.Err.Error() }
func (e *ConnectionError) Unwrap() error        { return e.Err }
func (e *ConnectionError) Is(target error) bool { return target == ErrConnectionClosed }

// An InvalidResponseError says that the peer's octets are not a response that
// can be delimited; the connection is of no further use. It wraps a
// [*wire.SyntaxError] or [*wire.LimitError].
type InvalidResponseError struct {
	Err error
}

func (e *InvalidResponseError) Error() string { return "pipeline: invalid response: " + e.Err.Error() }
func (e *InvalidResponseError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrUnsupportedResponse) work.
func (e *InvalidResponseError) Is(target error) bool {
	var unsupported *wire.UnsupportedError
	return target == ErrUnsupportedResponse && errors.As(e.Err, &unsupported)
}

// A TimeoutError says that no octet moved for as long as Options.Timeout allows.
// The Conn stays usable. It is [os.ErrDeadlineExceeded] for errors.Is.
type TimeoutError struct{}

func (*TimeoutError) Error() string        { return "pipeline: connection timed out" }
func (*TimeoutError) Timeout() bool        { return true }
func (*TimeoutError) Temporary() bool      { return true }
func (*TimeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// A StateError reports a call that makes no sense now, such as writing more
// content than was announced. Nothing was sent, and the Conn stays usable.
type StateError struct {
	Op     string // the method called
	Reason string
}

func (e *StateError) Error() string { return fmt.Sprintf("pipeline: %s: %s", e.Op, e.Reason) }

// IsTemporary reports whether err is of a kind that goes away by itself: a lost
// or refused connection, a timeout, a name server that did not answer. It says
// nothing about whether the request may be sent again.
func IsTemporary(err error) bool {
	var dns *net.DNSError
	var ne net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.Is(err, ErrConnectionClosed), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH):
		return true
	}
	return errors.As(err, &ne) && ne.Timeout()
}
