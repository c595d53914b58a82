package pipeline

import (
	"fmt"
	"io"
)

// traceLink writes a line for all octets that pass through a link.
type traceLink struct {
	link
	w io.Writer
}

func (l *traceLink) transfer(in, out []byte, block bool) moved {
	m := l.link.transfer(in, out, block)
	if m.out > 0 {
		fmt.Fprintf(l.w, "> %q\n", out[:m.out])
	}
	if m.in > 0 {
		fmt.Fprintf(l.w, "< %q\n", in[:m.in])
	}
	return m
}
