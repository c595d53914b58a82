package pipetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Host is the name the certificate of [TLSConfigs] is for, beside localhost,
// example.com, *.test and the loopback addresses.
const Host = "origin.test"

// TCPPair returns the two ends of a TCP connection on loopback. They are
// closed at the end of the test.
func TCPPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	s, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// TinyTCPPair is [TCPPair] with send and receive buffers of about the given
// size. The kernel doubles the number and has a least size of its own (4608
// and 2304 octets on Linux), and what was offered to the peer at connection
// time stays offered, so expect some ten thousand octets to fit in any case.
func TinyTCPPair(t testing.TB, octets int) (client, server *net.TCPConn) {
	t.Helper()
	client, server = TCPPair(t)
	for _, c := range []*net.TCPConn{client, server} {
		require.NoError(t, c.SetReadBuffer(octets))
		require.NoError(t, c.SetWriteBuffer(octets))
	}
	return client, server
}

// ResetTCP closes c so that its peer is reset.
func ResetTCP(c *net.TCPConn) error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

// TLSPair speaks TLS over the two ends of a connection and completes the
// handshake. Inside a bubble the ends must be of package memnet.
func TLSPair(t testing.TB, clientEnd, serverEnd net.Conn) (client, server *tls.Conn) {
	t.Helper()
	clientConfig, serverConfig := TLSConfigs()
	clientConfig.ServerName = Host
	client, server = tls.Client(clientEnd, clientConfig), tls.Server(serverEnd, serverConfig)
	served := make(chan error, 1)
	go func() { served <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-served)
	return client, server
}

// TLSConfigs returns configurations that accept each other. The certificate
// is made once per process; the configurations are the caller's own.
func TLSConfigs() (client, server *tls.Config) {
	cert, pool := testCertificate()
	client = &tls.Config{RootCAs: pool}
	server = &tls.Config{Certificates: []tls.Certificate{cert}}
	return client, server
}

// testCertificate returns a certificate that vouches for itself. Its validity
// covers the year 2000, in which synctest bubbles begin.
var testCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: Host},
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{Host, "localhost", "example.com", "*.test"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})
