package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeTLS is ServePlain over TLS, with a certificate made up on the spot.
func ServeTLS(announce func(addr string)) error {
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	announce(ln.Addr().String())
	return Serve(ln)
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// ServeHTTP2 serves the same paths over cleartext HTTP/2 (prior knowledge),
// with net/http.
func ServeHTTP2(announce func(addr string)) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	announce(ln.Addr().String())
	srv := &http.Server{
		Handler:   http.HandlerFunc(handle),
		Protocols: new(http.Protocols),
		// Windows large enough not to limit uploads.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          1024,
			MaxReceiveBufferPerConnection: 64 << 20,
			MaxReceiveBufferPerStream:     8 << 20,
		},
	}
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv.Serve(ln)
}

var large = content(1 << 20)

func handle(w http.ResponseWriter, r *http.Request) {
	size := smallContent
	if r.Method != http.MethodGet {
		io.Copy(io.Discard, r.Body)
		size = uploadContent
	}
	if n, ok := strings.CutPrefix(r.URL.Path, "/b/"); ok {
		size = min(number([]byte(n)), len(large))
	} else if ms, ok := strings.CutPrefix(r.URL.Path, "/slow/"); ok {
		time.Sleep(time.Duration(number([]byte(ms))) * time.Millisecond)
	}
	h := w.Header()
	h["Server"] = []string{"origin/1.0"}
	h["Content-Type"] = []string{"application/octet-stream"}
	h["Content-Length"] = []string{strconv.Itoa(size)}
	h["Last-Modified"] = []string{"Tue, 04 Mar 2025 10:12:33 GMT"}
	h["Etag"] = []string{`"67c6d1f1-80"`}
	h["Cache-Control"] = []string{"public, max-age=3600"}
	h["X-Request-Id"] = []string{"5f0c2b7e-5a1d-4c3e-9a67-0d4f6a2e8b19"}
	io.WriteString(w, large[:size])
}
