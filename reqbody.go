package httppipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"
)

// A requestBody is Request.Body as the connection sees it. It remembers whether
// the body was touched, checks its length, and closes it exactly once.
//
// A connection may give it back untouched: then another can have it. So a Close
// before the first Read is put off until finish.
type requestBody struct {
	rc     io.ReadCloser
	length int64 // announced; -1 if unknown

	mu       sync.Mutex
	touched  bool // Read was called
	released bool // Close was called
	final    bool // there will be no other attempt
	closed   bool
	gone     bool // another attempt has it now

	n        int64  // octets read
	probe    []byte // octets read by isEmpty, not yet by Read
	probed   chan struct{}
	probeErr error
}

// A bodyError is an error of the request's own body, which goes to its caller as
// it is.
type bodyError struct {
	err   error
	begun bool // as net/http, say that the connection is broken
}

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

var errBodyGone = errors.New("httppipe: the body was taken back")

func newRequestBody(rc io.ReadCloser, length int64) *requestBody {
	return &requestBody{rc: rc, length: length}
}

// Read yields content. A body that is shorter or longer than announced is an
// error, and so is any error of the body but io.EOF.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.touched = true
	gone := b.gone
	b.mu.Unlock()
	if gone {
		return 0, &bodyError{err: errBodyGone}
	}
	n, err := b.read(p)
	b.n += int64(n)
	switch {
	case b.length >= 0 && b.n > b.length:
		b.count()
		return n, &bodyError{b.lengthError(), true}
	case err == io.EOF && b.n < b.length:
		return n, &bodyError{b.lengthError(), true}
	case err != nil && err != io.EOF:
		return n, &bodyError{err: err}
	}
	return n, err
}

// read reads what isEmpty has taken, and then the body.
func (b *requestBody) read(p []byte) (int, error) {
	if b.probed == nil {
		return b.rc.Read(p)
	}
	<-b.probed
	if n := copy(p, b.probe); n > 0 {
		b.probe = b.probe[n:]
		return n, nil
	}
	if b.probeErr != nil {
		return 0, b.probeErr
	}
	return b.rc.Read(p)
}

// count reads what is left, to tell how long the body is.
func (b *requestBody) count() {
	n, _ := io.Copy(io.Discard, b.rc)
	b.n += n
}

func (b *requestBody) lengthError() error {
	return fmt.Errorf("http: ContentLength=%d with Body length %d", b.length, b.n)
}

// probeTime is how long isEmpty waits for the first octet. A body that takes
// longer has some.
const probeTime = 200 * time.Millisecond

// isEmpty reports whether a body of unknown length has no content.
func (b *requestBody) isEmpty() bool {
	b.probed = make(chan struct{})
	b.touched = true
	go func() {
		defer close(b.probed)
		var one [1]byte
		n, err := io.ReadFull(b.rc, one[:])
		b.probe, b.probeErr = one[:n], err
	}()
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-b.probed:
		return len(b.probe) == 0 && b.probeErr == io.EOF
	case <-timer.C:
		return false
	}
}

// Close says that the connection has no more use for the body. It is closed if it
// was used, or if no other attempt may follow.
func (b *requestBody) Close() error {
	b.mu.Lock()
	b.released = true
	now := b.touched || b.final
	b.mu.Unlock()
	if now {
		b.finish()
	}
	return nil
}

// keep says that no other attempt will follow: the body is closed as soon as the
// connection has no more use for it.
func (b *requestBody) keep() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.final = true
	now := b.released
	b.mu.Unlock()
	if now {
		b.finish()
	}
}

// finish closes the body, unless it is closed already.
func (b *requestBody) finish() {
	if b == nil {
		return
	}
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		b.rc.Close()
	}
}

// rewound returns the body to send after a failed attempt: b itself if that has
// not touched it. ok is false if the content cannot be had again.
func (b *requestBody) rewound(req *http.Request) (again *requestBody, ok bool, err error) {
	b.mu.Lock()
	used := b.touched || b.closed
	b.gone = true
	b.mu.Unlock()
	if !used {
		again = newRequestBody(b.rc, b.length)
		again.probe, again.probed, again.probeErr = b.probe, b.probed, b.probeErr
		return again, true, nil
	}
	b.finish()
	if req.GetBody == nil {
		return nil, false, nil
	}
	rc, err := req.GetBody()
	if err != nil {
		return nil, false, err
	}
	return newRequestBody(rc, b.length), true, nil
}

// File returns the file that the body is, if that is so and nothing of it was read:
// its octets can go to the network by sendfile(2). The file counts as used then.
func (b *requestBody) File() *os.File {
	f, _ := unwrapNopCloser(b.rc).(*os.File)
	b.mu.Lock()
	defer b.mu.Unlock()
	if f == nil || b.touched || b.gone || b.probed != nil {
		return nil
	}
	b.touched = true
	return f
}

// Types of the wrappers that http.NewRequest puts around a reader in memory.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// unwrapNopCloser returns the reader inside an io.NopCloser, or r.
func unwrapNopCloser(r io.Reader) io.Reader {
	if t := reflect.TypeOf(r); t == nopCloser || t == nopCloserWriterTo {
		return reflect.ValueOf(r).Field(0).Interface().(io.Reader)
	}
	return r
}

// inMemory returns the content, without copying it, if the body is a reader of
// memory.
func (b *requestBody) inMemory() (content []byte, ok bool) {
	var g grab
	switch r := unwrapNopCloser(b.rc).(type) {
	case *bytes.Reader:
		r.WriteTo(&g)
	case *bytes.Buffer:
		r.WriteTo(&g)
	case *strings.Reader:
		r.WriteTo(&g)
	default:
		return nil, false
	}
	return g, true
}

// grab keeps what it is written, without a copy: the memory stays as it is until
// the body is closed.
type grab []byte

func (g *grab) Write(p []byte) (int, error) {
	*g = p
	return len(p), nil
}
