package httppipe

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestHTTP2SpareConnectionIsClosedUnused(t *testing.T) {
	preface := make(chan bool)
	addr := serve(t, func(c net.Conn) {
		_, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		preface <- err == nil
		deaf(c)
	})
	tr := &Transport{Protocols: protocols(h2c)}
	first, err := dialURL(t, tr, "http://"+addr)
	require.NoError(t, err)
	require.True(t, <-preface)
	second, err := dialURL(t, tr, "http://"+addr)
	require.NoError(t, err)
	require.False(t, <-preface)
	require.True(t, second.shared)
	require.Equal(t, first.alt, second.alt)
	first.alt.closeIdle()
}

// An h2Peer is an HTTP/2 server without TLS of which the test writes every frame.
type h2Peer struct {
	*http2.Framer
	settings map[http2.SettingID]uint32 // of the client
}

// serveH2 starts an h2Peer for each connection and returns its URL. It sends the
// settings, acknowledges the client's, and calls request for each HEADERS frame.
func serveH2(t *testing.T, request func(p *h2Peer, stream uint32), settings ...http2.Setting) string {
	return "http://" + serve(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		p := &h2Peer{http2.NewFramer(c, c), make(map[http2.SettingID]uint32)}
		p.WriteSettings(settings...)
		for {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					f.ForeachSetting(func(s http2.Setting) error { p.settings[s.ID] = s.Val; return nil })
					p.WriteSettingsAck()
				}
			case *http2.PingFrame:
				p.WritePing(true, f.Data)
			case *http2.HeadersFrame:
				request(p, f.StreamID)
			}
		}
	})
}

// respond answers 200 without content, or with content to come.
func (p *h2Peer) respond(stream uint32, end bool) {
	var block bytes.Buffer
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	p.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end,
	})
}

// dialH2 returns a connection to a peer, or any other server without TLS.
func dialH2(t *testing.T, url string, cfg *http.HTTP2Config) *h2Conn {
	t.Helper()
	d, err := dialURL(t, &Transport{Protocols: protocols(h2c), HTTP2: cfg}, url)
	require.NoError(t, err)
	c := d.alt.(*h2Conn)
	t.Cleanup(func() { c.cc.Close() })
	return c
}

func TestHTTP2ConfigIsHonoured(t *testing.T) {
	settings := make(chan map[http2.SettingID]uint32, 1)
	url := serveH2(t, func(p *h2Peer, stream uint32) {
		settings <- p.settings
		p.respond(stream, true)
	})
	d, err := dialURL(t, &Transport{
		Protocols:              protocols(h2c),
		HTTP2:                  &http.HTTP2Config{MaxReadFrameSize: 54321},
		MaxResponseHeaderBytes: 12345,
	}, url)
	require.NoError(t, err)
	fetch(t, d.alt, url)
	got := <-settings
	require.EqualValues(t, 54321, got[http2.SettingMaxFrameSize])
	// Each field counts 32 octets more than in HTTP/1.1; net/http adds for ten.
	require.EqualValues(t, 12345+320, got[http2.SettingMaxHeaderListSize])
	d.alt.closeIdle()
}

// Which failures prove that the peer has not acted on the request.
func TestHTTP2Unprocessed(t *testing.T) {
	reset := func(code http2.ErrCode) func(*h2Peer, uint32) {
		return func(p *h2Peer, stream uint32) { p.WriteRSTStream(stream, code) }
	}
	for _, tc := range []struct {
		name        string
		request     func(p *h2Peer, stream uint32)
		unprocessed bool
		usable      bool // afterwards
	}{
		{"refused", reset(http2.ErrCodeRefusedStream), true, true},
		{"crossed a GOAWAY", reset(http2.ErrCodeProtocol), true, false},
		{"failed", reset(http2.ErrCodeInternal), false, true},
		{"behind a GOAWAY", func(p *h2Peer, _ uint32) { p.WriteGoAway(0, http2.ErrCodeNo, nil) }, true, false},
		{"before a GOAWAY", func(p *h2Peer, stream uint32) {
			p.WriteGoAway(stream, http2.ErrCodeNo, nil)
			p.WriteRSTStream(stream, http2.ErrCodeInternal)
		}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := serveH2(t, tc.request)
			c := dialH2(t, url, nil)
			_, err := c.RoundTrip(newRequest(t, url))
			var unprocessed *unprocessedError
			require.Equal(t, tc.unprocessed, errors.As(err, &unprocessed), "%v", err)
			if tc.unprocessed {
				require.False(t, unprocessed.untouched)
			}
			require.Equal(t, tc.usable, c.usable())
		})
	}
}

// GOAWAY says no to a request that waits for the strict limit, too.
func TestHTTP2UnusableConnectionIsRetired(t *testing.T) {
	url := serveH2(t, func(p *h2Peer, stream uint32) {
		p.WriteGoAway(stream, http2.ErrCodeNo, nil)
		p.respond(stream, false) // keeps the connection open
	})
	c := dialH2(t, url, &http.HTTP2Config{StrictMaxConcurrentRequests: true})
	resp, err := c.RoundTrip(newRequest(t, url))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.True(t, c.usable(), "there is no way to tell")
	_, err = c.RoundTrip(newRequest(t, url))
	require.EqualError(t, err, h2ErrUnusable)
	require.ErrorAs(t, err, new(*unprocessedError))
	require.False(t, c.usable())
}

// limitOne starts a peer that takes one request at a time, and answers it when
// told to.
func limitOne(t *testing.T) (url string, arrived, answer chan bool) {
	arrived, answer = make(chan bool, 2), make(chan bool, 2)
	url = serveH2(t, func(p *h2Peer, stream uint32) {
		if stream == 1 {
			p.respond(stream, true) // the client has seen the settings after this
			return
		}
		arrived <- true
		<-answer
		p.respond(stream, true)
	}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	return url, arrived, answer
}

func TestHTTP2FullConnection(t *testing.T) {
	url, arrived, answer := limitOne(t)
	c := dialH2(t, url, nil)
	fetch(t, c, url)
	waitUsable := func() {
		again := make(chan struct{}, 1)
		c.watch(func() {
			select {
			case again <- struct{}{}:
			default:
			}
		})
		for !c.usable() {
			<-again
		}
	}
	waitUsable()
	done := make(chan error)
	go func() {
		_, err := c.RoundTrip(newRequest(t, url))
		done <- err
	}()
	<-arrived
	require.False(t, c.usable())
	require.False(t, c.ended())
	requireUntouched(t, c, url)
	answer <- true
	require.NoError(t, <-done)
	waitUsable()
}

func TestHTTP2FullConnectionWithStrictLimit(t *testing.T) {
	url, arrived, answer := limitOne(t)
	c := dialH2(t, url, &http.HTTP2Config{StrictMaxConcurrentRequests: true})
	fetch(t, c, url)
	done := make(chan error)
	for range 2 {
		go func() {
			_, err := c.RoundTrip(newRequest(t, url))
			done <- err
		}()
	}
	<-arrived
	require.True(t, c.usable())
	answer <- true
	answer <- true
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}

// An origin that takes HTTP/2 and then closes must not be dialed for ever: the
// first request gets the error.
func TestHTTP2ConnectionThatEndsUnused(t *testing.T) {
	url := "http://" + serve(t, func(c net.Conn) { io.ReadFull(c, make([]byte, len(http2.ClientPreface))) })
	c := dialH2(t, url, nil)
	require.Eventually(t, c.ended, 10*time.Second, time.Millisecond)
	require.False(t, c.usable())
	_, err := c.RoundTrip(newRequest(t, url))
	require.Error(t, err)
	require.False(t, errors.As(err, new(*unprocessedError)))
	requireUntouched(t, c, url)
}
