package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// redrawEvery is how often a line on a terminal changes: often enough to look
// alive, seldom enough to be read.
const redrawEvery = 100 * time.Millisecond

// quietFor is how long a way may take before lines are printed of it that stay:
// what is over by then is in the table at once.
const quietFor = time.Second

// A progress shows how far each way of fetching has got: on a terminal as one
// line that is drawn over in place, elsewhere as a line for every quarter, once the
// way takes long enough for somebody to wonder.
type progress struct {
	out       io.Writer
	live      bool       // out is a terminal that can draw over a line
	width     func() int // columns; asked anew for each drawing
	nameWidth int        // of the longest name to come
}

// newProgress returns a progress that suits out.
func newProgress(out io.Writer) *progress {
	return &progress{
		out:   out,
		live:  isTerminal(out),
		width: func() int { return terminalWidth(out) },
	}
}

// A meter is the progress of one way. Its methods may be called from several
// goroutines.
type meter struct {
	p     *progress
	name  string
	total int
	begun time.Time
	stop  chan struct{} // closed by finish
	ended sync.WaitGroup

	mu    sync.Mutex
	count int
	drawn int // columns that the line on the terminal occupies
}

// start begins to show a way. The caller must finish the meter.
func (p *progress) start(name string, total int) *meter {
	m := &meter{p: p, name: name, total: total, begun: time.Now(), stop: make(chan struct{})}
	if p.live {
		m.draw()
		m.ended.Go(m.redraw)
	}
	return m
}

// add counts one more document.
func (m *meter) add() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	elapsed := time.Since(m.begun)
	if !m.p.live && elapsed >= quietFor && isQuarter(m.count, m.total) {
		fmt.Fprintf(m.p.out, "%s: %d of %d after %s\n", m.name, m.count, m.total, seconds(elapsed))
	}
}

// finish shows the final state and leaves the line.
func (m *meter) finish() {
	close(m.stop)
	m.ended.Wait()
	if m.p.live {
		m.draw()
		fmt.Fprintln(m.p.out)
	}
}

func (m *meter) redraw() {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.draw()
		case <-m.stop:
			return
		}
	}
}

// draw replaces the line on the terminal by a single write, and needs no escape
// sequences: spaces cover what is left of a longer line.
func (m *meter) draw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Three columns stay free: one because some terminals wrap when the last is
	// used, two for the ^C that they show when the user has had enough.
	width := m.p.width() - 3
	line := progressLine(m.name, m.p.nameWidth, m.count, m.total, time.Since(m.begun), width)
	fill := max(0, min(m.drawn, width)-len(line))
	fmt.Fprintf(m.p.out, "\r%s%s", line, strings.Repeat(" ", fill))
	m.drawn = len(line)
}

// progressLine is one line of at most width columns, with a bar if there is
// room for one.
func progressLine(name string, nameWidth, count, total int, elapsed time.Duration, width int) string {
	const minBar, maxBar = 10, 40
	digits := len(fmt.Sprint(total))
	head := fmt.Sprintf("%-*s", nameWidth, name)
	tail := fmt.Sprintf("%*d/%d  %7s", digits, count, total, seconds(elapsed))
	line := head + "  " + tail
	if room := width - len(line) - len("  []"); room >= minBar {
		size := min(room, maxBar)
		full := size
		if total > 0 {
			full = size * count / total
		}
		line = fmt.Sprintf("%s  [%s%s]  %s", head,
			strings.Repeat("#", full), strings.Repeat(".", size-full), tail)
	}
	return line[:min(len(line), max(0, width))]
}

// isQuarter reports whether count is the first to reach a further quarter of total.
func isQuarter(count, total int) bool {
	return count*4/total != (count-1)*4/total
}

// seconds formats d, for example "0.31 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
