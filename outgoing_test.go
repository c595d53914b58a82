package httppipe

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/wire"
)

// What decides how a request is sent is seen, whether or not the names in its header
// were taken down while it was validated.
func TestDecisiveFieldsAreSeen(t *testing.T) {
	outgoings := func(h http.Header) []*outgoing {
		h["Accept"] = []string{"*/*"}
		names, err := validateFields("header", h)
		require.NoError(t, err)
		require.NotEqual(t, wire.NameSet(0), names)
		req := &http.Request{Header: h}
		return []*outgoing{{req: req, names: names}, {req: req}}
	}
	for name, value := range map[string]string{
		"Connection": "close", "Upgrade": "websocket", "Expect": "100-continue",
		"Authorization": "NTLM x", "Proxy-Authorization": "Negotiate x",
	} {
		for _, o := range outgoings(http.Header{name: {value}}) {
			require.True(t, o.bindsConnection(), name)
			require.False(t, o.hasIdempotencyKey(), name)
		}
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		for _, o := range outgoings(http.Header{name: nil}) {
			require.True(t, o.hasIdempotencyKey(), name)
			require.False(t, o.bindsConnection(), name)
		}
	}
	for _, o := range outgoings(http.Header{"User-Agent": {"x"}}) {
		require.False(t, o.bindsConnection())
		require.False(t, o.hasIdempotencyKey())
	}
}
