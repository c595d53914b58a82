//go:build !unix

package pipeline

import (
	"net"
	"testing"
	"time"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// awaitInput waits for so long that nc has something to read, most likely.
func awaitInput(*testing.T, net.Conn) { time.Sleep(20 * time.Millisecond) }

func tinyPair(t *testing.T) (client, server net.Conn) { return pipetest.TinyTCPPair(t, tinyBuffer) }
