package contestant

import (
	"bytes"
	"errors"
)

var errParse = errors.New("a response that the bench's origin does not send")

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("\nContent-Length: ")
	headEnd       = []byte("\r\n\r\n")
)

// leastParse does the least that tells where the response at the start of b
// ends: it has to be a 200 with a Content-Length in that very spelling. head is
// nil when b ends before the head does, and aliases b otherwise.
func leastParse(b []byte) (head []byte, length int, err error) {
	i := bytes.Index(b, headEnd)
	if i < 0 {
		return nil, 0, nil
	}
	head = b[:i+len(headEnd)]
	j := bytes.Index(head, contentLength)
	if !bytes.HasPrefix(head, statusOK) || j < 0 {
		return nil, 0, errParse
	}
	for _, d := range head[j+len(contentLength):] {
		if d < '0' || d > '9' {
			break
		}
		length = length*10 + int(d-'0')
	}
	return head, length, nil
}
