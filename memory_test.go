package httppipe

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Responses that are forgotten, neither read nor closed, take nothing away from
// others for ever.
func TestForgottenResponsesGiveTheirMemoryBack(t *testing.T) {
	content := strings.Repeat("x", 5000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, content)
	}))
	defer srv.Close()
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	tr.pool.memory.Limit = 64 << 10
	for range 3 {
		for range 2 * tr.pool.memory.Limit / 5000 {
			req, err := http.NewRequest("GET", srv.URL, nil)
			require.NoError(t, err)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.LessOrEqual(t, tr.pool.memory.Held(), tr.pool.memory.Limit)
			if resp.Body.(*responseBody).x != nil {
				resp.Body.Close()
			}
		}
		require.Eventually(t, func() bool { runtime.GC(); return tr.pool.memory.Held() == 0 }, 10*time.Second, time.Millisecond)
	}
}

// A body that was read or closed yields nothing of others.
func TestReleasedBodyStaysReleased(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat(r.URL.Path[1:], 5000))
	}))
	defer srv.Close()
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	get := func(path string) io.ReadCloser {
		req, err := http.NewRequest("GET", srv.URL+path, nil)
		require.NoError(t, err)
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		return resp.Body
	}
	a := get("/a")
	io.ReadFull(a, make([]byte, 1))
	require.NoError(t, a.Close())
	b := get("/b")
	_, err := a.Read(make([]byte, 1))
	require.Equal(t, errReadAfterClose, err)
	require.NoError(t, a.Close(), "which must not release it again")
	c := get("/c")
	for body, want := range map[io.Reader]string{b: "b", c: "c"} {
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat(want, 5000), string(got))
		n, err := body.Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}
