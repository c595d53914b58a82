//go:build !unix

package pipeline

import (
	"net"
	"testing"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func tinyPair(t *testing.T) (client, server net.Conn) { return pipetest.TinyTCPPair(t, tinyBuffer) }
