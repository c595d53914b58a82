package pipeline

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// Answers that nginx had ready used to come 40 ms late, when they were behind another
// and no request went out meanwhile: it keeps them back until that is acknowledged.
func TestAnswersAreAcknowledgedBeforeMoreAreWaitedFor(t *testing.T) {
	for name, opts := range map[string][]pipetest.Option{
		"pump":            nil,
		"socket":          {pipetest.Net(memnet.Sockets())},
		"socket with tls": {pipetest.Net(memnet.Sockets()), pipetest.TLS()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, opts...)
				acks := memConn(r.nc).acks
				alone := r.get("/alone")
				r.origin.WantRequests("GET /alone")
				before := acks() // of what came with TLS
				r.origin.Send(answerWith("1"))
				alone.wantContent("1")
				synctest.Wait()
				require.Equal(t, before, acks(), "the next request acknowledges it")

				first, second := r.get("/first"), r.get("/second")
				r.origin.WantRequests("GET /first", "GET /second")
				synctest.Wait()
				require.Equal(t, before, acks(), "the requests did")
				r.origin.Send(answerWith("2"))
				first.wantContent("2")
				synctest.Wait()
				require.Equal(t, before+1, acks())

				third := r.get("/third")
				r.origin.WantRequests("GET /third")
				r.origin.Send(answerWith("3"))
				second.wantContent("3")
				synctest.Wait()
				require.Equal(t, before+2, acks())
				r.origin.Send(answerWith("4"))
				third.wantContent("4")
				require.Equal(t, before+2, acks())
			})
		})
	}
}

type inMemory struct{ *memnet.Conn }

func memConn(nc net.Conn) inMemory {
	if s, ok := nc.(memnet.Socket); ok {
		return inMemory{s.Conn}
	}
	return inMemory{nc.(*memnet.Conn)}
}

func (c inMemory) acks() int { return c.Stats().Acks }
