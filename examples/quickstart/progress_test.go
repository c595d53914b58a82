package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressLine(t *testing.T) {
	for _, tt := range []struct {
		width int
		want  string
	}{
		{79, "net/http    [##########..............................]   80/320   2.10 s"},
		{44, "net/http    [###.........]   80/320   2.10 s"},
		{42, "net/http    [##........]   80/320   2.10 s"},
		{41, "net/http     80/320   2.10 s"},
		{10, "net/http  "},
		{0, ""},
		{-1, ""},
	} {
		got := progressLine("net/http", 10, 80, 320, 2100*time.Millisecond, tt.width)
		if got != tt.want {
			t.Errorf("width %d:\n%q, want\n%q", tt.width, got, tt.want)
		}
		if len(got) > max(0, tt.width) {
			t.Errorf("width %d: %d columns", tt.width, len(got))
		}
	}
}

// What is over within a second needs no lines that tell how far it is.
func TestProgressInAPipeIsALineForEachQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out)
		m := p.start("net/http", 10)
		for range 10 {
			time.Sleep(250 * time.Millisecond)
			m.add()
		}
		m.finish()
		wantText(t, out.String(), `net/http: 5 of 10 after 1.25 s
net/http: 8 of 10 after 2.00 s
net/http: 10 of 10 after 2.50 s
`)
	})
}

func TestProgressOnATerminalIsDrawnOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		var width atomic.Int64
		width.Store(60)
		p := newProgress(&out)
		p.live, p.nameWidth, p.width = true, 8, func() int { return int(width.Load()) }
		m := p.start("net/http", 2)
		time.Sleep(redrawEvery / 2)
		m.add()
		width.Store(30) // the user makes the window narrower
		time.Sleep(redrawEvery)
		m.add()
		m.finish()
		wantText(t, out.String(), ""+
			"\rnet/http  [...............................]  0/2   0.00 s"+
			"\rnet/http  1/2   0.10 s     "+
			"\rnet/http  2/2   0.15 s\n")
	})
}

func TestColorsAreOnlyForTerminals(t *testing.T) {
	if got := styled(new(strings.Builder), red, "wrong"); got != "wrong" {
		t.Errorf("%q, want no escape sequences", got)
	}
}
