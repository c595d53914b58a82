package httppipe

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file is sent from where it stands, octet by octet, and whatever way it goes
// out: by sendfile(2) with its length announced, in chunks without.
func TestFileIsUploaded(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	name := filepath.Join(t.TempDir(), "upload")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	var got []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
	}))
	defer srv.Close()
	tr := &Transport{}
	defer tr.CloseIdleConnections()

	for _, length := range []int64{int64(len(content)) - 5, -1} {
		f, err := os.Open(name)
		require.NoError(t, err)
		f.Seek(5, io.SeekStart)
		req, err := http.NewRequest("PUT", srv.URL, f)
		require.NoError(t, err)
		req.ContentLength = length
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.True(t, bytes.Equal(content[5:], got), "%d octets, length %d", len(got), length)
		require.ErrorIs(t, f.Close(), os.ErrClosed, "the body is to be closed")
	}
}

// The wrapper around a request's body does not hide that it is a file.
func TestFileBodyIsKnownAsFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "upload"))
	require.NoError(t, err)
	defer f.Close()
	b := newRequestBody(f, 10)
	require.Same(t, f, b.File())
	require.True(t, b.touched)
}
