package httppipe

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// connectTimeout bounds the wait for a proxy's answer to CONNECT, so that a
// proxy that accepts connections but never answers does not keep them for ever.
const connectTimeout = time.Minute

// wrapProxyError marks an error on the way to r's proxy, if it has one.
func (r route) wrapProxyError(err error) error {
	if r.proxyURL == nil || err == nil {
		return err
	}
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
}

func isSOCKS(u *url.URL) bool {
	return u.Scheme == "socks5" || u.Scheme == "socks5h"
}

// proxyAuth returns the value of a Proxy-Authorization field with the
// credentials in r's proxy URL, or "" if it has none.
func (r route) proxyAuth() string {
	if r.proxyURL == nil || r.proxyURL.User == nil {
		return ""
	}
	password, _ := r.proxyURL.User.Password()
	pair := r.proxyURL.User.Username() + ":" + password // RFC 7617, Section 2
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// passProxy makes d.conn, a connection to r's proxy, lead to the origin, unless
// the proxy is to be sent the requests themselves. On error d.conn is closed.
func (t *Transport) passProxy(ctx context.Context, r route, d *dialed) error {
	var err error
	switch {
	case r.proxyURL == nil:
		return nil
	case isSOCKS(r.proxyURL):
		err = passSOCKS(ctx, r, d.conn)
	case r.viaHTTPProxy():
		d.proxyAuth = r.proxyAuth()
	default:
		err = t.passCONNECT(ctx, r, d.conn)
	}
	if err != nil {
		d.conn.Close()
	}
	return err
}

// passSOCKS has the SOCKS5 proxy at the other end of conn connect to the origin.
func passSOCKS(ctx context.Context, r route, conn net.Conn) error {
	var auth *proxy.Auth
	if u := r.proxyURL.User; u != nil {
		auth = &proxy.Auth{User: u.Username()}
		auth.Password, _ = u.Password()
	}
	_, addr := r.firstHop()
	d, err := proxy.SOCKS5("tcp", addr, auth, dialedAlready{conn})
	if err != nil {
		return err
	}
	// The result wraps conn for nothing but the address on the far side.
	_, err = d.(proxy.ContextDialer).DialContext(ctx, "tcp", r.addr)
	return err
}

// dialedAlready is a dialer for package proxy that "dials" a connection which is
// there, because the Transport's dial funcs, errors and TLS come before SOCKS.
type dialedAlready struct{ conn net.Conn }

func (d dialedAlready) Dial(string, string) (net.Conn, error) { return d.conn, nil }

func (d dialedAlready) DialContext(context.Context, string, string) (net.Conn, error) {
	return d.conn, nil
}

// passCONNECT asks the HTTP proxy at the other end of conn for a tunnel to the
// origin (RFC 9110, Section 9.3.6).
func (t *Transport) passCONNECT(ctx context.Context, r route, conn net.Conn) error {
	header, err := t.connectHeader(ctx, r)
	if err != nil {
		return err
	}
	req := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: r.addr},
		Host:   r.addr,
		Header: header,
	}
	resp, err := t.exchangeCONNECT(ctx, conn, req)
	if err != nil {
		return err
	}
	if t.OnProxyConnectResponse != nil {
		if err := t.OnProxyConnectResponse(ctx, r.proxyURL, req, resp); err != nil {
			return err
		}
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	// The text is the whole error in net/http, and programs look for it.
	if _, reason, ok := strings.Cut(resp.Status, " "); ok {
		return errors.New(reason)
	}
	return errors.New("unknown status code")
}

// connectHeader returns the fields of a CONNECT request to r's proxy, in a
// header of their own.
func (t *Transport) connectHeader(ctx context.Context, r route) (http.Header, error) {
	header := t.ProxyConnectHeader
	if t.GetProxyConnectHeader != nil {
		var err error
		if header, err = t.GetProxyConnectHeader(ctx, r.proxyURL, r.addr); err != nil {
			return nil, err
		}
	}
	if header = header.Clone(); header == nil {
		header = make(http.Header)
	}
	if auth := r.proxyAuth(); auth != "" {
		header.Set("Proxy-Authorization", auth)
	}
	return header, nil
}

// exchangeCONNECT sends req and reads the head of the proxy's answer. If ctx
// ends before that is done, conn is closed and the error is ctx's.
func (t *Transport) exchangeCONNECT(ctx context.Context, conn net.Conn, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := req.Write(conn)
	var resp *http.Response
	if err == nil {
		// What the reader buffers beyond the head is lost, but there is
		// nothing: in TLS the client speaks first.
		head := &io.LimitedReader{R: conn, N: t.maxResponseHeaderBytes()}
		resp, err = http.ReadResponse(bufio.NewReader(head), req)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return resp, err
}
