package pipeline

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestMemoryOfEverySize(t *testing.T) {
	var m Memory
	for n := 1; n <= maxInMemory; n += 1 + n/7 {
		h, ok := m.get(n)
		require.True(t, ok)
		require.Empty(t, h.p)
		require.GreaterOrEqual(t, len(h.room()), n)
		require.Less(t, len(h.room()), 2*max(n, minBlock))
		require.Equal(t, n >= minBlock, h.block != nil)
		h.Release()
		require.Zero(t, h)
	}
}

// No memory is handed to two.
func TestMemoryIsHeldByOne(t *testing.T) {
	var m Memory
	var all []Content
	for i := range 100 {
		h, ok := m.get(minBlock << (i % blockClasses))
		require.True(t, ok)
		h.p = h.p[:cap(h.p)]
		for j := range h.p {
			h.p[j] = byte(i)
		}
		all = append(all, h)
		if i%3 == 0 {
			all[i/2].Release()
		}
	}
	for i, h := range all {
		require.Equal(t, strings.Repeat(string([]byte{byte(i)}), len(h.p)), string(h.p))
	}
}

func TestMemoryHasALimit(t *testing.T) {
	m := Memory{Limit: 10 << 10}
	a, ok := m.get(8 << 10)
	require.True(t, ok)
	_, ok = m.get(4 << 10)
	require.False(t, ok)
	b, ok := m.get(2 << 10)
	require.True(t, ok)
	small, ok := m.get(300)
	require.True(t, ok, "little memory does not count")
	require.False(t, m.grow(&small))
	require.EqualValues(t, 10<<10, m.Held())
	runtime.KeepAlive(&a)
	runtime.KeepAlive(&b)
}

// Memory that is not used any more does not count for ever, whether it was put back
// or forgotten.
func TestForgottenMemoryDoesNotCount(t *testing.T) {
	var m Memory
	for range 10 {
		m.get(4 << 10)
		h, _ := m.get(1 << 10)
		h.Release()
	}
	require.GreaterOrEqual(t, m.Held(), int64(40<<10))
	require.Eventually(t, func() bool { runtime.GC(); return m.Held() == 0 }, patienceOfTests, time.Millisecond)
}

// A content is its caller's, whatever the connection does meanwhile, until it is
// read or closed.
func TestContentsAreReadAfterManyOthers(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		r := newRig(t, opts...)
		content := func(i int) string { return string(pipetest.Content(fmt.Sprint("/", i), 1000+700*i)) }
		var kept []*job
		for i := range 20 {
			target := fmt.Sprint("/", i)
			j := r.get(target)
			r.origin.WantRequests("GET " + target)
			if i%2 == 0 {
				r.origin.Send(answerWith(content(i)))
			} else {
				r.origin.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(content(i)), content(i)))
			}
			j.wantHead(200)
			if i%3 == 0 {
				if j.Complete() {
					kept = append(kept, j)
					continue
				}
			}
			j.wantContent(content(i))
			require.NoError(t, j.Close())
		}
		for _, j := range kept {
			var i int
			fmt.Sscanf(j.Request.Target, "/%d", &i)
			if i%2 == 0 {
				j.wantContent(content(i))
				continue
			}
			got := j.Received()
			require.Equal(t, content(i), string(got.p))
			got.Release()
			require.Zero(t, got.Len())
			again := j.Received()
			require.Zero(t, again.Len())
			j.wantContent("")
		}
		r.wantUsable()
	})
}

// Without memory, contents stay on the connection until they are read.
func TestContentsForWhichThereIsNoMemory(t *testing.T) {
	eachLink(t, func(t *testing.T, opts ...pipetest.Option) {
		m := &Memory{Limit: 1}
		r := newRigWith(t, &Options{Memory: m}, opts...)
		content := string(pipetest.Content("/", 3000))
		chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n" + content + "\r\n0\r\n\r\n"
		a, b, c := r.get("/a"), r.get("/b"), r.get("/c")
		r.origin.WantRequests("GET /a", "GET /b", "GET /c")
		r.origin.Send(answerWith(content) + chunked + answerWith("C"))
		a.wantHead(200)
		require.False(t, a.Complete())
		a.wantContent(content)
		b.wantContent(content)
		c.wantContent("C")
		require.Zero(t, m.Held())
		r.wantUsable()
	})
}

// Memory that was given back used to count until the next garbage collection, and
// contents of another size found none.
func TestMemoryOfOneSizeServesOthers(t *testing.T) {
	if underRace {
		t.Skip("a sync.Pool forgets some of what it is given then, and that counts")
	}
	m := Memory{Limit: 4 * maxInMemory}
	for _, n := range []int{maxInMemory, minBlock, 5000, maxInMemory} {
		var all []Content
		for {
			c, ok := m.get(n)
			if !ok {
				break
			}
			all = append(all, c)
		}
		require.InDelta(t, m.Limit, len(all)*n, float64(m.Limit/2))
		require.LessOrEqual(t, m.Held(), m.Limit)
		for i := range all {
			all[i].Release()
		}
	}
}
