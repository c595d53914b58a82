package pipeline

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Octets that nc.Read has returned, and that readLoop has not offered yet, are
// waited for: otherwise a sender would take a connection for quiet that is not.
func TestCatchUpWaitsForReadLoop(t *testing.T) {
	for name, arrive := range map[string]func(*pumpLink){
		"octets": func(l *pumpLink) { l.received([]byte("surplus"), nil) },
		"end":    func(l *pumpLink) { l.received(nil, net.ErrClosed) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &pumpLink{nc: discardConn{}} // readLoop is on its way
				l.changed.L = &l.mu
				var m moved
				done := make(chan struct{})
				go func() {
					defer close(done)
					l.catchUp()
					m = l.transfer(make([]byte, 100), nil, false)
				}()
				synctest.Wait()
				select {
				case <-done:
					t.Fatal("it did not wait")
				default:
				}
				arrive(l)
				<-done
				require.False(t, m.nothing())
			})
		})
	}
}

// Once readLoop is in nc.Read, nothing is waited for: the peer may be quiet for ever.
func TestCatchUpDoesNotWaitForPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, server := net.Pipe()
		l := newPumpLink(client)
		l.catchUp()
		server.Write([]byte("x"))
		m := l.transfer(make([]byte, 1), nil, true)
		require.Equal(t, 1, m.in)
		l.catchUp()
		l.close()
		l.catchUp()
		server.Close()
	})
}
