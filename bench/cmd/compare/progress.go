package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A progress tells how far we are: on a terminal by one line that changes, in a
// pipe or file by plain lines.
type progress struct {
	w        io.Writer
	terminal bool
	begin    time.Time
	now      func() time.Time
}

// clearLine moves to the line's beginning and erases it.
const clearLine = "\r\x1b[K"

func newProgress(f *os.File, begin time.Time) *progress {
	info, err := f.Stat()
	return &progress{
		w:        f,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb",
		begin:    begin,
		now:      time.Now,
	}
}

// say replaces what was said before.
func (p *progress) say(format string, args ...any) {
	line := fmt.Sprintf("%4.0fs ", p.now().Sub(p.begin).Seconds()) + fmt.Sprintf(format, args...)
	if p.terminal {
		fmt.Fprint(p.w, clearLine+line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// note is a message that stays.
func (p *progress) note(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// clear makes room for other output.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, clearLine)
	}
}
