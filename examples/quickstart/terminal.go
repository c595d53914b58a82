package main

import (
	"io"
	"os"
)

// defaultWidth is assumed where the width of a terminal can't be found out.
const defaultWidth = 80

// isTerminal reports whether w is a terminal on which a line can be drawn over.
// The null device passes for one too, which nobody sees.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// terminalWidth returns the columns of the terminal w.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n := columns(f); n > 0 {
			return n
		}
	}
	return defaultWidth
}

// styled returns s between the escape sequences of style on a terminal, unless
// the user does without (https://no-color.org).
func styled(w io.Writer, style, s string) string {
	if !isTerminal(w) || !understandsColor || os.Getenv("NO_COLOR") != "" {
		return s
	}
	return style + s + "\x1b[0m"
}

const (
	bold = "\x1b[1m"
	red  = "\x1b[31m"
)
