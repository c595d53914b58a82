package origin

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// maxContent bounds the content that a path may ask for: octets.
const maxContent = 64 << 20

// smallContent and uploadContent are the lengths of answers to requests that
// name none.
const (
	smallContent  = 128
	uploadContent = 16
)

const fill = "The quick brown fox jumps over the lazy dog. 0123456789 abcdefg\n"

// canned holds ready-made responses by content length, for as long as their
// Date field stays right. It is for one goroutine. The zero value is ready.
type canned struct {
	second int64
	date   string
	bySize map[int][]byte
}

// tick tells the time. Call it once per batch of requests, rather than asking
// the clock for each.
func (c *canned) tick(now time.Time) {
	if c.bySize != nil && now.Unix() == c.second {
		return
	}
	c.second = now.Unix()
	c.date = now.UTC().Format(http.TimeFormat)
	c.bySize = make(map[int][]byte)
}

// response returns a whole 200 response with size octets of content.
// It must not be changed.
func (c *canned) response(size int) []byte {
	size = min(size, maxContent)
	if b := c.bySize[size]; b != nil {
		return b
	}
	b := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n"+
		"Server: origin/1.0\r\n"+
		"Date: %s\r\n"+
		"Content-Type: application/octet-stream\r\n"+
		"Content-Length: %d\r\n"+
		"Last-Modified: Tue, 04 Mar 2025 10:12:33 GMT\r\n"+
		"ETag: \"67c6d1f1-%x\"\r\n"+
		"Cache-Control: public, max-age=3600\r\n"+
		"X-Request-Id: 5f0c2b7e-5a1d-4c3e-9a67-0d4f6a2e8b19\r\n"+
		"\r\n%s", c.date, size, size, content(size))
	c.bySize[size] = b
	return b
}

// content returns size octets of text.
func content(size int) string {
	return strings.Repeat(fill, size/len(fill)+1)[:size]
}
