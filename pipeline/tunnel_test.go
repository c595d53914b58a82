package pipeline

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestConnBecomesTunnel(t *testing.T) {
	for _, early := range []string{"", "early octets"} {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			_, err := c.Tunnel(bg())
			wantState(t, err, "speaks HTTP")
			require.NoError(t, c.SendRequest(bg(), &Request{Target: "/", Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}}))
			readRequest(t, bufio.NewReader(server))
			send(t, server, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"+early)
			wantReadable(t, c)
			resp, err := c.ReadResponse(bg())
			require.NoError(t, err)
			require.Equal(t, 101, resp.StatusCode)
			nc, err := c.Tunnel(bg())
			require.NoError(t, err)
			defer nc.Close()
			if early == "" {
				require.Equal(t, c.NetConn(), nc)
			}
			// The Conn is gone, and does not touch the connection any more.
			_, err = c.ReadResponse(bg())
			require.ErrorIs(t, err, ErrConnectionClosed)
			c.Close()
			c.link.interrupt(true, true)

			got := make([]byte, len(early))
			_, err = io.ReadFull(nc, got)
			require.NoError(t, err)
			require.Equal(t, early, string(got))
			go io.Copy(server, server)
			content := pipetest.Content("tunnel", 300_000)
			go nc.Write(content)
			got = make([]byte, len(content))
			_, err = io.ReadFull(nc, got)
			require.NoError(t, err)
			sameOctets(t, content, got)
		})
	}
}

// TLS through a tunnel uses the socket, as without one.
func TestTLSThroughTunnel(t *testing.T) {
	client, server := pipetest.TCPPair(t)
	clientConfig, serverConfig := pipetest.TLSConfigs()
	clientConfig.ServerName = pipetest.Host
	go func() {
		http.ReadRequest(bufio.NewReader(server))
		io.WriteString(server, "HTTP/1.1 200 OK\r\n\r\n")
		serve(tls.Server(server, serverConfig), func(*http.Request, []byte) string { return ok("through") })
	}()
	proxy := NewConn(client, nil)
	require.NoError(t, proxy.SendRequest(bg(), &Request{Method: "CONNECT", Target: "origin.test:443", Host: "origin.test:443"}))
	resp, err := proxy.ReadResponse(bg())
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	nc, err := proxy.Tunnel(bg())
	require.NoError(t, err)
	tc := TLSClient(nc, clientConfig)
	require.NoError(t, tc.Handshake())
	c := NewConn(tc, &Options{Host: "origin.test"})
	defer c.Close()
	require.IsType(t, &tlsLink{}, c.link)
	require.NoError(t, c.SendRequest(bg(), &Request{Target: "/"}))
	wantResponse(t, c, "/", 200, "through")
}
