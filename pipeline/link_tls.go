package pipeline

import (
	"crypto/tls"
	"net"
	"sync"
)

// maxRecord is the most content of one TLS record (RFC 8446, Section 5.1).
const maxRecord = 16 << 10

// TLSClient is [tls.Client] for connections that will be given to a [Conn] or a
// [Driver]. It makes the same tls.Conn, but places a thin layer between it and
// the socket, by which octets can later be moved without blocking. A tls.Conn
// made otherwise works as well, at the cost of two goroutines.
func TLSClient(nc net.Conn, config *tls.Config) *tls.Conn {
	if !isRaw(nc) {
		return tls.Client(nc, config)
	}
	return tls.Client(&shim{Conn: nc}, config)
}

// A shim is the net.Conn below a tls.Conn. Until a tlsLink takes over, it is
// transparent. From then on it never blocks a write, because a tls.Conn whose
// Write has failed halfway is broken for good: records that do not fit are
// held back. A Read that would block returns a temporary error, after which
// a tls.Conn can go on.
type shim struct {
	net.Conn
	taken bool // a tlsLink has taken over
	raw   link // set when taken is

	// Owned by the reading goroutine: what the tlsLink wants of the next Read, and
	// what else came of it.
	block   bool // wait for octets
	duplex  bool // and pass on held records meanwhile
	flushed bool // some were passed on
	waited  bool // for octets

	mu      sync.Mutex
	held    []byte // records not yet written
	busy    bool   // somebody is writing held
	touched bool   // some octets were written since tlsLink.clean
	outErr  error  // why nothing more can be written
}

// NetConn returns the connection below, as that of a tls.Conn does.
func (s *shim) NetConn() net.Conn { return s.Conn }

// errWouldBlock is the temporary error of shim.Read.
type errWouldBlock struct{}

func (errWouldBlock) Error() string   { return "pipeline: operation would block" }
func (errWouldBlock) Timeout() bool   { return true }
func (errWouldBlock) Temporary() bool { return true }

func (s *shim) Read(p []byte) (int, error) {
	if !s.taken {
		return s.Conn.Read(p)
	}
	var m moved
	if s.duplex {
		m = s.flush(p, s.block)
		s.flushed = s.flushed || m.flushed
	} else {
		m = s.raw.transfer(p, nil, s.block)
	}
	s.waited = s.waited || m.waited
	if m.in == 0 && m.inErr == nil && len(p) > 0 {
		return 0, errWouldBlock{}
	}
	return m.in, m.inErr
}

func (s *shim) Write(p []byte) (int, error) {
	if !s.taken {
		return s.Conn.Write(p)
	}
	s.mu.Lock()
	if s.outErr != nil {
		s.mu.Unlock()
		return 0, s.outErr
	}
	s.held = append(s.held, p...)
	s.mu.Unlock()
	// An error is kept for the next Write: these octets are still ours.
	s.flush(nil, false)
	return len(p), nil
}

// flush writes held records, and reads into in meanwhile if it is not empty.
// When another goroutine is writing already, it leaves that to it.
func (s *shim) flush(in []byte, block bool) (m moved) {
	s.mu.Lock()
	out := s.held
	if s.busy || s.outErr != nil {
		out = nil
		m.outErr = s.outErr
	}
	s.busy = s.busy || len(out) > 0
	s.mu.Unlock()
	if len(in) == 0 && len(out) == 0 {
		return m
	}
	m = s.raw.transfer(in, out, block)
	if len(out) == 0 {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	s.touched = s.touched || m.out > 0
	s.outErr = m.outErr
	m.flushed = m.out > 0
	if s.held = s.held[m.out:]; len(s.held) == 0 {
		s.held = out[:0]
	}
	return m
}

func (s *shim) unsent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// tlsLink is a link to a tls.Conn made by TLSClient.
type tlsLink struct {
	tls  *tls.Conn
	shim *shim

	taken int64 // octets accepted; guarded by shim.mu
	clean int64 // octets accepted when last no records were held; guarded by shim.mu
}

// newTLSLink returns nil if nc was not made by TLSClient or is not past its
// handshake, which only works while its octets may block.
func newTLSLink(nc net.Conn) link {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	s, ok := tc.NetConn().(*shim)
	if !ok || !tc.ConnectionState().HandshakeComplete {
		return nil
	}
	raw := newRawLink(s.Conn)
	if raw == nil {
		return nil
	}
	s.raw, s.taken = raw, true
	return &tlsLink{tls: tc, shim: s}
}

func (l *tlsLink) transfer(in, out []byte, block bool) (m moved) {
	wantOut := out != nil || in == nil
	if wantOut {
		l.write(out, &m)
	}
	if len(in) > 0 {
		l.read(in, block && !wantOut, false, &m)
	}
	switch {
	case !block || !wantOut || !m.nothing():
	case len(in) > 0:
		l.read(in, true, true, &m)
	default:
		f := l.shim.flush(nil, true)
		m.flushed, m.outErr = f.flushed, f.outErr
	}
	return m
}

// write passes on held records, and makes new ones as long as none are held. One
// Write makes many records, of which some may have left when it fails.
func (l *tlsLink) write(out []byte, m *moved) {
	f := l.shim.flush(nil, false)
	m.flushed, m.outErr = f.flushed, f.outErr
	for m.out < len(out) && m.outErr == nil && l.shim.unsent() == 0 {
		p := out[m.out:min(len(out), m.out+maxRecord)]
		l.account(0)
		n, err := l.tls.Write(p)
		l.account(n)
		m.out += n
		m.outErr = err
	}
}

func (l *tlsLink) account(n int) {
	l.shim.mu.Lock()
	defer l.shim.mu.Unlock()
	l.taken += int64(n)
	if len(l.shim.held) == 0 {
		l.clean, l.shim.touched = l.taken, false
	}
}

func (l *tlsLink) read(in []byte, block, duplex bool, m *moved) {
	s := l.shim
	s.block, s.duplex, s.flushed, s.waited = block, duplex, false, false
	n, err := l.tls.Read(in)
	if _, ok := err.(errWouldBlock); ok {
		err = nil
	}
	m.in, m.inErr, m.waited = n, err, s.waited
	m.flushed = m.flushed || s.flushed
}

func (l *tlsLink) catchUp() { l.shim.raw.catchUp() }

func (l *tlsLink) unsent() int { return l.shim.unsent() }

func (l *tlsLink) delivered() int64 {
	l.shim.mu.Lock()
	defer l.shim.mu.Unlock()
	if len(l.shim.held) > 0 && !l.shim.touched {
		return l.clean
	}
	return l.taken
}

func (l *tlsLink) writeError() error { return l.shim.raw.writeError() }

func (l *tlsLink) interrupt(reading, writing bool) { l.shim.raw.interrupt(reading, writing) }

// release makes the shim transparent again, when all records are written.
func (l *tlsLink) release() (rest []byte, err error) {
	for l.unsent() > 0 {
		if f := l.shim.flush(nil, true); f.outErr != nil {
			return nil, f.outErr
		}
	}
	l.shim.taken = false
	return l.shim.raw.release()
}

func (l *tlsLink) close() error { return l.tls.Close() }
