package httppipe

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What classify looks for in a header is seen while the header is validated.
func TestDecisiveFieldsAreSeen(t *testing.T) {
	for name, value := range map[string]string{
		"Connection": "close", "Upgrade": "websocket", "Expect": "100-continue",
		"Authorization": "NTLM x", "Proxy-Authorization": "Negotiate x",
	} {
		h := http.Header{"Accept": {"*/*"}, name: {value}}
		require.True(t, bindsConnection(h), name)
		plain, err := validateFields("header", h)
		require.NoError(t, err)
		require.False(t, plain, name)
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		h := http.Header{name: nil}
		require.True(t, hasIdempotencyKey(h), name)
		plain, err := validateFields("header", h)
		require.NoError(t, err)
		require.False(t, plain, name)
	}
	plain, err := validateFields("header", http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}})
	require.NoError(t, err)
	require.True(t, plain)
}
