package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/wire"
)

// followed is content in memory behind which another call is submitted in the moment in
// which it is complete.
type followed struct {
	memory
	next func()
}

func (s *followed) sendTo(c *Conn, owed int64) (done bool, err error) {
	done, err = s.memory.sendTo(c, owed)
	s.next()
	return done, err
}

// Who had sent the last of an upload used to end the content of the next one, if that
// began in the same moment: with a last chunk, before any of it was sent.
func TestEndOfAnUploadIsNotThatOfTheNext(t *testing.T) {
	for name, framing := range map[string]wire.Framing{
		"chunked": {Kind: wire.Chunked},
		"length":  {Kind: wire.Length, Length: 5},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := memnet.Pipe()
			defer server.Close()
			c := NewConn(client, nil)
			defer c.Close()
			put := wire.RequestHead{Method: "PUT", Target: "/", Host: "x", Framing: wire.Framing{Kind: wire.Length, Length: 3}}
			next := put
			next.Framing = framing
			var first, second exchange
			c.mu.Lock()
			c.begin(&first, &put, nil, false)
			c.mu.Unlock()
			done, err := c.sendSource(&followed{memory{[]byte("abc")}, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				require.Equal(t, sendReady, c.send)
				c.begin(&second, &next, nil, false)
			}})
			require.NoError(t, err)
			require.True(t, done)
			require.Same(t, &second, c.sending)
			require.Zero(t, second.end)
		})
	}
}
