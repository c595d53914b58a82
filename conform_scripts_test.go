package httppipe_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// whole are replies to the first request; another is answered properly.
func whole(name, reply string) rawScript {
	return rawScript{name: name, replies: []string{reply, ok}}
}

// after are replies to the second request, on a connection that has served one.
func after(name, reply string) rawScript {
	return rawScript{name: name, replies: []string{ok, reply, ok}, requests: []func(string) *http.Request{
		getting("/1"), getting("/2"), getting("/3"),
	}}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func gzipReply(field, content string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n%s", field, len(content), content)
}

// sending is a script with one request of its own, and a GET behind it.
func sending(name string, request func(string) *http.Request, replies ...string) rawScript {
	return rawScript{name: name, replies: replies, requests: []func(string) *http.Request{request, getting("/behind")}}
}

// asking is a script of GETs with other settings.
func asking(name string, setup func(*settings), replies ...string) rawScript {
	return rawScript{name: name, replies: append(replies, ok), setup: setup}
}

// looseErrors are scripts where both fail, but the texts differ. Ours leave out what
// could be secret, say that the message was cut off, or name the coding.
var looseErrors = []string{
	"bad trailer", "chunked twice", "chunked with bare LF", "chunk without its end", "chunk too long",
	"huge chunk size", "empty chunk size", "bad chunk size", "two lengths", "empty length", "closed in the head",
	"reused: closed in the head", "closed in the trailer", "closed behind the last chunk", "bare CR in value",
	"NUL in value", "first field folded", "empty name", "no colon", "empty line first", "HTML", "POST, stream too long",
}

// otherConns are scripts where http.Transport closes a connection on which nothing
// was sent, or keeps one whose framing is doubtful.
var otherConns = []string{
	"forbidden trailer", "POST, length without body", "POST, memory too long", "POST, memory too short",
	"chunked and length", "status 99",
}

var rawScripts = concat(heads, ends, framings, persistence, interims, gzips, bodies, methods, limits, retries)

func concat(lists ...[]rawScript) (all []rawScript) {
	for _, l := range lists {
		all = append(all, l...)
	}
	for i := range all {
		all[i].loose = slices.Contains(looseErrors, all[i].name)
		all[i].unseen = strings.HasPrefix(all[i].name, "POST, stream too") || strings.HasPrefix(all[i].name, "body fails")
		all[i].conns = slices.Contains(otherConns, all[i].name)
	}
	return all
}

var heads = []rawScript{
	whole("plain", ok),
	whole("no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
	whole("empty reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
	whole("odd reason", "HTTP/1.1 200 it's all right\r\nContent-Length: 2\r\n\r\nok"),
	whole("bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
	whole("status 99", "HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok"),
	whole("status 600", "HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nok"),
	whole("status 999", "HTTP/1.1 999 High\r\nContent-Length: 2\r\n\r\nok"),
	whole("two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("negative status", "HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("no number", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"+doClose),
	whole("HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
	whole("HTTP/1.0 chunked", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"+doClose),
	whole("HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("HTTP/0.9", "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("HTTP/1.10", "HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("http/1.1", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("ICY", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	whole("nonsense", "hello\r\n\r\n"+doClose),
	whole("HTML", "<html><body>Bad Request</body></html>"+doClose),
	whole("empty line first", "\r\n"+ok),
	whole("no colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
	whole("space before colon", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok"),
	whole("empty name", "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\nok"),
	whole("space in name", "HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 2\r\n\r\nok"),
	whole("folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
	whole("first field folded", "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 2\r\n\r\nok"),
	whole("NUL in value", "HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 2\r\n\r\nok"),
	whole("bare CR in value", "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 2\r\n\r\nok"),
	whole("obs-text", "HTTP/1.1 200 OK\r\nA: b\xffc\r\nContent-Length: 2\r\n\r\nok"),
	whole("lower case names", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok"),
	whole("white space around values", "HTTP/1.1 200 OK\r\nContent-Length: \t 2 \t\r\nA:b\r\n\r\nok"),
	whole("several values", "HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\na: d\r\nContent-Length: 2\r\n\r\nok"),
	whole("Pragma", "HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 2\r\n\r\nok"),
	whole("Set-Cookie", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok"),
	whole("head in pieces", "HT"+pause+"TP/1.1 200 OK\r\nCont"+pause+"ent-Length: 2\r\n\r"+pause+"\no"+pause+"k"),
}

var ends = []rawScript{
	whole("closed without an answer", doClose),
	whole("reset without an answer", doReset),
	whole("closed in the status line", "HTTP/1.1 20"+doClose),
	whole("closed in the head", "HTTP/1.1 200 OK\r\nContent-Le"+doClose),
	whole("closed before the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"+doClose),
	whole("closed in the content", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok"+doClose),
	whole("closed before the content", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"+doClose),
	whole("closed in a chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2"+doClose),
	whole("closed in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"+doClose),
	whole("closed behind a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"+doClose),
	whole("closed behind the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"+doClose),
	whole("closed in the trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b"+doClose),
	whole("ends with the connection", "HTTP/1.1 200 OK\r\n\r\nall of it"+doClose),
	whole("ends with the connection, in pieces", "HTTP/1.1 200 OK\r\n\r\nall "+pause+"of it"+doClose),
	whole("nothing but a head, then close", "HTTP/1.1 200 OK\r\n\r\n"+doClose),
	whole("answered, then closed", ok+doClose),
	after("reused: closed without an answer", doClose),
	after("reused: closed in the status line", "HTTP/1.1 20"+doClose),
	after("reused: closed in the head", "HTTP/1.1 200 OK\r\nContent-Le"+doClose),
	after("reused: closed in the content", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok"+doClose),
	after("reused: nonsense", "hello\r\n\r\n"+doClose),
	after("reused: 100, then closed", "HTTP/1.1 100 Continue\r\n\r\n"+doClose),
}

var framings = []rawScript{
	whole("empty content", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	whole("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
	whole("signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
	whole("empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
	whole("length in words", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"),
	whole("huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
	whole("same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
	whole("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
	whole("list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
	whole("leading zeros", "HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok"),
	whole("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("Chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("chunked, in pieces", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+pause+"2\r"+pause+"\no"+pause+"k\r\n0"+pause+"\r\n\r\n"),
	whole("chunked, empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	whole("chunk extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0;c\r\n\r\n"),
	whole("chunk size in capitals", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
	whole("chunk size, blanks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n"),
	whole("chunk size, zeros", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n"),
	whole("bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n"),
	whole("empty chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n"),
	whole("huge chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n"),
	whole("chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"),
	whole("chunk without its end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n"),
	whole("chunked with bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n"+doClose),
	whole("long chunk line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;"+strings.Repeat("a", 5000)+"\r\nok\r\n0\r\n\r\n"),
	whole("chunked and length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"+doClose),
	whole("chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A, B\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n"),
	whole("trailer that was not announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\na: c\r\n\r\n"),
	whole("bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nnonsense\r\n\r\n"),
	whole("forbidden trailer announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("Trailer without chunks", "HTTP/1.1 200 OK\r\nTrailer: A\r\nContent-Length: 2\r\n\r\nok"),
	whole("204", "HTTP/1.1 204 No Content\r\n\r\n"),
	whole("204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
	whole("304", "HTTP/1.1 304 Not Modified\r\n\r\n"),
	whole("304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
	whole("205 with content", "HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok"),
	whole("large content", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"+strings.Repeat("x", 300000)),
	whole("large chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("8000\r\n"+strings.Repeat("y", 0x8000)+"\r\n", 10)+"0\r\n\r\n"),
	whole("many tiny chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nz\r\n", 3000)+"0\r\n\r\n"),
}

var persistence = []rawScript{
	whole("says close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
	whole("says Close among others", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok"),
	whole("says close, chunked", "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	whole("says close, no content", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
	whole("keep-alive in HTTP/1.1", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"),
	sending("request says close", withMethod("GET", "/", nil, func(r *http.Request) { r.Close = true }), ok),
	sending("field says close", withMethod("GET", "/", nil, havingField("Connection", "close")), ok),
	sending("field says keep-alive", withMethod("GET", "/", nil, havingField("Connection", "keep-alive")), ok),
	asking("keep-alives disabled", func(s *settings) { s.DisableKeepAlives = true }, ok),
	asking("no idle connections", func(s *settings) { s.MaxIdleConnsPerHost = -1 }, ok),
	asking("one connection, closed", func(s *settings) { s.MaxConnsPerHost = 1 }, ok+doClose),
}

var interims = []rawScript{
	whole("100", "HTTP/1.1 100 Continue\r\n\r\n"+ok),
	whole("102, 103, 100", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+ok),
	whole("103 with pauses", "HTTP/1.1 103 Early Hints\r\n\r\n"+pause+"HTTP/1.1 103 Early Hints\r\n\r\n"+pause+ok),
	whole("103, then closed", "HTTP/1.1 103 Early Hints\r\n\r\n"+doClose),
	whole("199", "HTTP/1.1 199 Strange\r\n\r\n"+ok),
	whole("many 1xx", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 200)+ok),
	asking("too many octets of 1xx", func(s *settings) { s.MaxResponseHeaderBytes = 1000 },
		strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 200)+ok),
	whole("101 without being asked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"+doClose),
	sending("upgrade", withMethod("GET", "/", nil, havingField("Upgrade", "x"), havingField("Connection", "upgrade")),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"+doClose),
	sending("upgrade refused", withMethod("GET", "/", nil, havingField("Upgrade", "x"), havingField("Connection", "upgrade")), ok),
}

var gzips = []rawScript{
	whole("gzip", gzipReply("Content-Encoding: gzip", gzipped("hello"))),
	whole("GZIP", gzipReply("Content-Encoding: GZIP", gzipped("hello"))),
	whole("gzip, no content", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"),
	whole("gzip, 204", "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"),
	whole("gzip, no content, chunked", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	whole("gzip that is none", gzipReply("Content-Encoding: gzip", "hello, world")),
	whole("gzip, too short", gzipReply("Content-Encoding: gzip", gzipped("hello, world")[:20])),
	whole("gzip, damaged", gzipReply("Content-Encoding: gzip", strings.Replace(gzipped("hello, world"), "\x00\x00\x00", "\x00\x01\x00", 1))),
	whole("gzip, closed early", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"+gzipped("hello")[:15]+doClose),
	whole("gzip, two streams", gzipReply("Content-Encoding: gzip", gzipped("hello, ")+gzipped("world"))),
	whole("gzip, octets behind", gzipReply("Content-Encoding: gzip", gzipped("hello")+"junk")),
	whole("gzip, chunked", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(gzipped("hi")), gzipped("hi"))),
	whole("deflate", gzipReply("Content-Encoding: deflate", "hello")),
	whole("gzip, br", gzipReply("Content-Encoding: gzip, br", gzipped("hello"))),
	whole("x-gzip", gzipReply("Content-Encoding: x-gzip", gzipped("hello"))),
	sending("gzip asked for", withMethod("GET", "/", nil, havingField("Accept-Encoding", "gzip")), gzipReply("Content-Encoding: gzip", gzipped("hello"))),
	sending("gzip with Range", withMethod("GET", "/", nil, havingField("Range", "bytes=0-9")), gzipReply("Content-Encoding: gzip", gzipped("hello"))),
	sending("gzip to HEAD", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n"),
	asking("compression disabled", func(s *settings) { s.DisableCompression = true }, gzipReply("Content-Encoding: gzip", gzipped("hello"))),
}

var bodies = []rawScript{
	sending("POST", withMethod("POST", "/", inMemory("content")), ok),
	sending("POST, empty", withMethod("POST", "/", nil), ok),
	sending("POST, NoBody", withMethod("POST", "/", func() io.Reader { return http.NoBody }), ok),
	sending("POST, stream", withMethod("POST", "/", counted("content")), ok),
	sending("POST, empty stream", withMethod("POST", "/", counted("")), ok),
	sending("POST, stream of known length", withMethod("POST", "/", counted("content"), havingLength(7)), ok),
	sending("POST, stream too short", withMethod("POST", "/", counted("content"), havingLength(9)), doClose),
	sending("POST, stream too long", withMethod("POST", "/", counted("content"), havingLength(5)), doClose),
	sending("POST, memory too short", withMethod("POST", "/", inMemory("content"), havingLength(9)), doClose),
	sending("POST, memory too long", withMethod("POST", "/", inMemory("content"), havingLength(5)), doClose),
	sending("POST, length without body", withMethod("POST", "/", nil, havingLength(5)), ok),
	sending("POST, large", withMethod("POST", "/", counted(strings.Repeat("large", 50000))), ok),
	sending("PUT, stream", withMethod("PUT", "/", counted("content")), ok),
	sending("PUT, empty", withMethod("PUT", "/", nil), ok),
	sending("PATCH, empty", withMethod("PATCH", "/", nil), ok),
	sending("DELETE", withMethod("DELETE", "/", nil), ok),
	sending("DELETE, stream", withMethod("DELETE", "/", counted("content")), ok),
	sending("DELETE, empty stream", withMethod("DELETE", "/", counted("")), ok),
	sending("GET, stream", withMethod("GET", "/", counted("content")), ok),
	sending("GET, empty stream", withMethod("GET", "/", counted("")), ok),
	sending("GET, memory", withMethod("GET", "/", inMemory("content")), ok),
	sending("GET, of known length", withMethod("GET", "/", counted("content"), havingLength(7)), ok),
	sending("OPTIONS, stream", withMethod("OPTIONS", "/", counted("content")), ok),
	sending("own method, empty stream", withMethod("BREW", "/", counted("")), ok),
	sending("own method", withMethod("BREW", "/", nil), ok),
	sending("trailer sent", withMethod("POST", "/", counted("content"), func(r *http.Request) { r.Trailer = http.Header{"A": {"b"}} }), ok),
	sending("Transfer-Encoding set", withMethod("POST", "/", inMemory("content"), func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }), ok),
	sending("identity set", withMethod("POST", "/", counted("content"), func(r *http.Request) { r.TransferEncoding = []string{"identity"} }), ok+doClose),
	sending("answered early", withMethod("POST", "/", counted(strings.Repeat("large", 100))), "early HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"+doClose),
	sending("POST, closed without an answer", withMethod("POST", "/", inMemory("content")), doClose),
	sending("body fails", withMethod("POST", "/", func() io.Reader {
		return io.MultiReader(strings.NewReader("content"), failingReader{})
	}), doClose),
	sending("body fails at once", withMethod("POST", "/", func() io.Reader { return failingReader{} }), doClose),
	sending("Expect, 100", withMethod("POST", "/", counted("content"), havingField("Expect", "100-continue")), "early HTTP/1.1 100 Continue\r\n\r\n"+pause+ok+doClose),
	{name: "Expect, no answer in time", setup: func(s *settings) { s.ExpectContinueTimeout = 30 * time.Millisecond },
		requests: []func(string) *http.Request{withMethod("POST", "/", counted("content"), havingField("Expect", "100-continue"))}, replies: []string{ok}},
	{name: "Expect, final answer", setup: func(s *settings) { s.ExpectContinueTimeout = time.Minute },
		requests: []func(string) *http.Request{withMethod("POST", "/", counted("content"), havingField("Expect", "100-continue")), getting("/")},
		replies:  []string{"early HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno" + doClose, ok}},
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, fmt.Errorf("the body failed") }

var methods = []rawScript{
	sending("HEAD", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
	sending("HEAD without length", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\n\r\n"),
	sending("HEAD chunked", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	sending("HEAD in HTTP/1.0", withMethod("HEAD", "/", nil), "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"+doClose),
	sending("HEAD of nothing", withMethod("HEAD", "/", nil), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	sending("OPTIONS *", withMethod("OPTIONS", "", nil, func(r *http.Request) { r.URL.Opaque = "*" }), ok),
	sending("opaque", withMethod("GET", "/", nil, func(r *http.Request) { r.URL.Opaque = "/a%2fb" }), ok),
	sending("TRACE", withMethod("TRACE", "/", nil), ok),
	sending("lower case", withMethod("get", "/", nil), ok),
	sending("empty method", withMethod("", "/", nil), ok),
	sending("bad method", withMethod("GET", "/", nil, func(r *http.Request) { r.Method = "A B" })),
	sending("bad field name", withMethod("POST", "/", counted("x"), func(r *http.Request) { r.Header["a b"] = []string{"c"} })),
	sending("bad field value", withMethod("GET", "/", nil, havingField("A", "b\nc"))),
	sending("bad trailer", withMethod("POST", "/", counted("x"), func(r *http.Request) { r.Trailer = http.Header{"a b": {"c"}} })),
	sending("forbidden trailer", withMethod("POST", "/", counted("x"), func(r *http.Request) { r.Trailer = http.Header{"Content-Length": {"1"}} })),
	sending("nil header", withMethod("GET", "/", nil, func(r *http.Request) { r.Header = nil })),
	sending("nil URL", withMethod("GET", "/", nil, func(r *http.Request) { r.URL = nil })),
	sending("no host", withMethod("GET", "/", nil, func(r *http.Request) { r.URL.Host = "" })),
	sending("ftp", withMethod("GET", "/", nil, func(r *http.Request) { r.URL.Scheme = "ftp" })),
	sending("no scheme", withMethod("POST", "/", counted("x"), func(r *http.Request) { r.URL.Scheme = "" })),
	sending("another Host", withMethod("GET", "/", nil, func(r *http.Request) { r.Host = "example.com" }), ok),
	sending("bad Host", withMethod("GET", "/", nil, func(r *http.Request) { r.Host = "a b" }), ok),
	sending("no User-Agent", withMethod("GET", "/", nil, func(r *http.Request) { r.Header["User-Agent"] = nil }), ok),
	sending("empty User-Agent", withMethod("GET", "/", nil, havingField("User-Agent", "")), ok),
	sending("own User-Agent", withMethod("GET", "/", nil, havingField("User-Agent", "me")), ok),
	sending("query", withMethod("GET", "/?a=b&c=d%20e#f", nil), ok),
	sending("odd path", withMethod("GET", "/a%2Fb//c/../d;e", nil), ok),
	sending("fields", withMethod("GET", "/", nil, havingField("X-B", " 2 "), havingField("X-A", "1"), havingField("Cookie", "a=b")), ok),
	sending("Host in Header", withMethod("GET", "/", nil, havingField("Host", "other.example")), ok),
	sending("Content-Length in Header", withMethod("GET", "/", nil, havingField("Content-Length", "5")), ok),
	sending("user info", withMethod("GET", "/", nil, func(r *http.Request) { r.URL.User = nil; r.SetBasicAuth("u", "p") }), ok),
	sending("redirect is not followed", getting("/"), "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"),
	sending("CONNECT, refused", withMethod("CONNECT", "/", nil), "HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno"),
	sending("CONNECT with length", withMethod("CONNECT", "/", nil), ok),
	sending("CONNECT, until close", withMethod("CONNECT", "/", nil), "HTTP/1.1 200 OK\r\n\r\nhello"+doClose),
}

var limits = []rawScript{
	asking("head too large", func(s *settings) { s.MaxResponseHeaderBytes = 1000 },
		"HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 5000)+"\r\nContent-Length: 2\r\n\r\nok"),
	asking("head large enough", func(s *settings) { s.MaxResponseHeaderBytes = 10000 },
		"HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 5000)+"\r\nContent-Length: 2\r\n\r\nok"),
	asking("no answer in time", func(s *settings) { s.ResponseHeaderTimeout = 50 * time.Millisecond }, doHang),
	asking("half a head in time", func(s *settings) { s.ResponseHeaderTimeout = 50 * time.Millisecond }, "HTTP/1.1 200 OK\r\n"+doHang),
	asking("interim in time", func(s *settings) { s.ResponseHeaderTimeout = 50 * time.Millisecond }, "HTTP/1.1 103 Early\r\n\r\n"+doHang),
}

var retries = []rawScript{
	{name: "POST on a connection that was closed", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("POST", "/2", inMemory("content")), getting("/3")}},
	{name: "POST with Idempotency-Key", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("POST", "/2", inMemory("content"), havingField("Idempotency-Key", "a"))}},
	{name: "POST with empty Idempotency-Key", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("POST", "/2", inMemory("content"), func(r *http.Request) { r.Header["Idempotency-Key"] = nil })}},
	{name: "POST of a stream with Idempotency-Key", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("POST", "/2", counted("content"), havingField("X-Idempotency-Key", "a"))}},
	{name: "PUT is not sent again", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("PUT", "/2", inMemory("content"))}},
	{name: "DELETE is not sent again", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("DELETE", "/2", nil)}},
	{name: "GET, again and again", replies: []string{ok, doClose, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), getting("/2"), getting("/3")}},
	{name: "HEAD is sent again", replies: []string{ok, doClose, "HTTP/1.1 200 OK\r\n\r\n"},
		requests: []func(string) *http.Request{getting("/1"), withMethod("HEAD", "/2", nil)}},
	{name: "GET with content is sent again", replies: []string{ok, doClose, ok},
		requests: []func(string) *http.Request{getting("/1"), withMethod("GET", "/2", inMemory("content"))}},
}
