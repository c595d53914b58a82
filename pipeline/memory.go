package pipeline

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// DefaultMemory is the Limit of a Memory that sets none: some thousand contents
	// of 4 KiB, or 256 of the largest.
	DefaultMemory = 16 << 20

	// minBlock is the smallest memory that is used again. For less, the garbage
	// collector costs no more than the bookkeeping.
	minBlock = 1 << 10

	blockClasses = 7 // minBlock, twice that, and so on, up to maxInMemory
)

// A Memory holds contents that have left their connections before their callers
// have read them, so that those behind are answered. The Drivers that share one
// hold no more than its Limit together: when that is used up, contents stay on
// their connections until they are read.
//
// A content is in a block of 1, 2, 4, ... 64 KiB, or less than 1 KiB, which does not
// count. Its block is used again when the content was read to its end, or closed.
// Blocks that are not used are left to the garbage collector, at once when others need
// what they count, and so are those of contents that are forgotten: both come off what
// counts.
//
// The zero value is ready to use. A Memory must not be copied.
type Memory struct {
	// Limit is the most octets to hold; zero means DefaultMemory.
	Limit int64

	blocks  [blockClasses]sync.Pool // of *block
	counted atomic.Int64            // octets of all blocks there are
}

// A block is memory that is used again. It belongs to one Content at a time.
type block struct {
	p     []byte
	of    *Memory
	class int
	drop  runtime.Cleanup // takes it off what counts
}

// A Content is octets of a content that have left the connection, and were not read
// yet. It has an owner, who alone may use it, and must not be copied except to hand
// it to another owner. The zero value has no octets.
type Content struct {
	p     []byte // there may be more room behind
	block *block // whose memory p is; nil if the garbage collector sees to it
}

// poison has memory that is put back overwritten, so that tests see who still
// reads it.
var poison bool

// Held is how many octets count now: those of contents that are held, and of blocks
// that are kept for the next ones.
func (m *Memory) Held() int64 { return m.counted.Load() }

// get returns room for n octets, at most maxInMemory; ok is false if the limit does
// not allow it.
func (m *Memory) get(n int) (c Content, ok bool) {
	if n < minBlock {
		return Content{p: make([]byte, 0, n)}, true
	}
	class := bits.Len(uint(n-1)) - bits.Len(uint(minBlock-1))
	b, _ := m.blocks[class].Get().(*block)
	if b == nil {
		b = m.newBlock(class)
	}
	if b == nil {
		return Content{}, false
	}
	return Content{b.p[:0], b}, true
}

// newBlock makes a block, or returns nil. Its octets count until the garbage
// collector has found that nobody has it any more.
func (m *Memory) newBlock(class int) *block {
	size, limit := int64(minBlock)<<class, m.Limit
	if limit == 0 {
		limit = DefaultMemory
	}
	for m.counted.Add(size) > limit {
		m.counted.Add(-size)
		if !m.dropIdle() {
			return nil
		}
	}
	b := &block{p: make([]byte, size), of: m, class: class}
	b.drop = runtime.AddCleanup(b, func(size int64) { m.counted.Add(-size) }, size)
	return b
}

// dropIdle leaves a block that nobody uses to the garbage collector, a large one
// first, and reports whether there was any.
func (m *Memory) dropIdle() bool {
	for class := blockClasses - 1; class >= 0; class-- {
		if b, _ := m.blocks[class].Get().(*block); b != nil {
			b.drop.Stop()
			m.counted.Add(-int64(len(b.p)))
			return true
		}
	}
	return false
}

// grow moves c to larger memory, if there is any.
func (m *Memory) grow(c *Content) (ok bool) {
	size := min(4*cap(c.p), maxInMemory)
	if size <= cap(c.p) {
		return false
	}
	bigger, ok := m.get(size)
	if ok {
		bigger.p = append(bigger.p, c.p...)
		c.Release()
		*c = bigger
	}
	return ok
}

// Len is the number of octets.
func (c *Content) Len() int { return len(c.p) }

// Take moves octets from the beginning of c into p.
func (c *Content) Take(p []byte) (n int) {
	n = copy(p, c.p)
	c.p = c.p[n:]
	return n
}

// Release empties c, and gives its memory back: the next content may be placed there.
// It may be called again, as c has no memory then.
func (c *Content) Release() {
	if b := c.block; b != nil {
		if poison {
			for i := range b.p {
				b.p[i] = 0xdb
			}
		}
		b.of.blocks[b.class].Put(b)
	}
	*c = Content{}
}

// room is what follows the octets in c.
func (c *Content) room() []byte { return c.p[len(c.p):cap(c.p)] }

// add takes n octets that were placed into the room.
func (c *Content) add(n int) { c.p = c.p[:len(c.p)+n] }
