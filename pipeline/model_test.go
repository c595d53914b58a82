package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe/internal/pipetest"
)

// model runs a random program against a Conn: requests of all kinds, sent and
// read in random steps, with an origin that writes its answers in random pieces.
type model struct {
	t    *testing.T
	rnd  *rand.Rand
	c    *Conn
	want []exchangeModel // sent, and not yet answered completely
	got  []byte
	n    int
}

type exchangeModel struct {
	target string
	answer []byte
}

// answerSize is how long the answer to the n-th request is; half of them are short.
func answerSize(seed, n uint64) int {
	rnd := rand.New(rand.NewPCG(seed, n))
	if rnd.IntN(2) == 0 {
		return rnd.IntN(100)
	}
	return rnd.IntN(200_000)
}

func TestRandomPrograms(t *testing.T) {
	for seed := range uint64(fewerUnderRace(4)) {
		eachBackend(t, false, func(t *testing.T, c *Conn, server net.Conn) {
			t.Logf("seed %d", seed)
			serving(t, &pieces{Conn: server, rnd: rand.New(rand.NewPCG(seed, 1))}, randomAnswer(seed))
			m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 2)), c: c}
			for m.n < 100 {
				m.sendOne(seed)
			}
			for c.Pending() {
				m.readSome()
			}
			require.Empty(t, m.want)
		})
	}
}

func (m *model) sendOne(seed uint64) {
	target := fmt.Sprint("/", m.n)
	m.n++
	req := &Request{Target: target}
	content := pipetest.Content("up"+target, m.rnd.IntN(300_000))
	kind := m.rnd.IntN(5)
	switch kind {
	case 0, 1:
		content = nil
	case 2:
		req.Method, req.Body = "PUT", content
	case 3:
		req.Method, req.ContentLength = "PUT", int64(len(content))
	case 4:
		req.Method, req.ContentLength = "PUT", -1
	}
	answer := pipetest.Content("down"+target, answerSize(seed, uint64(m.n-1)))
	m.want = append(m.want, exchangeModel{target, append(answer, content...)})
	m.resume(m.c.Send(req))
	switch {
	case kind < 3:
	case m.rnd.IntN(2) == 0:
		m.resume(m.c.SendFile(tempFile(m.t, content)))
	default:
		m.writeSome(content)
		require.NoError(m.t, m.c.CloseBody(nil))
	}
}

// resume runs send to its end, by Next or by Step and Poll, and now and then
// without reading.
func (m *model) resume(send *Cofunc) {
	for {
		more := false
		if m.rnd.IntN(2) == 0 {
			more = send.Next()
		} else if p := send.Step(); p != Done {
			more = p == ResponseWaits
			if !more {
				_, err := m.c.Poll(bg(), Readable|Writable)
				require.NoError(m.t, err)
				continue
			}
		}
		if !more {
			require.NoError(m.t, send.Err())
			return
		}
		if m.rnd.IntN(4) > 0 {
			m.readSome()
		}
	}
}

func (m *model) writeSome(content []byte) {
	for len(content) > 0 {
		ready, err := m.c.Poll(bg(), Readable|Writable)
		require.NoError(m.t, err)
		if ready&Readable != 0 {
			m.readSome()
		}
		if ready&Writable != 0 {
			n, err := m.c.TryWrite(content[:m.rnd.IntN(len(content))+1])
			require.NoError(m.t, err)
			require.Positive(m.t, n)
			content = content[n:]
		}
	}
}

func (m *model) readSome() {
	if !m.c.ResponseActive() {
		resp, err := m.c.ReadResponse(bg())
		require.NoError(m.t, err)
		require.Equal(m.t, m.want[0].target, resp.Target)
		m.got = nil
	} else {
		p := make([]byte, 1+m.rnd.IntN(20_000))
		n, err := m.c.Read(p)
		if err != io.EOF {
			require.NoError(m.t, err)
		}
		m.got = append(m.got, p[:n]...)
	}
	if !m.c.ResponseActive() {
		sameOctets(m.t, m.want[0].answer, m.got)
		m.want = m.want[1:]
	}
}

// randomAnswer answers with content of its own and what was uploaded, in one of
// two framings.
func randomAnswer(seed uint64) func(*http.Request, []byte) string {
	n := uint64(0)
	return func(req *http.Request, content []byte) string {
		answer := append(pipetest.Content("down"+req.URL.Path, answerSize(seed, n)), content...)
		n++
		if n%2 == 0 {
			return ok(string(answer))
		}
		var b bytes.Buffer
		b.WriteString("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for k := 1; len(answer) > 0; k *= 3 {
			k = min(k, len(answer))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", k, answer[:k])
			answer = answer[k:]
		}
		b.WriteString("0\r\n\r\n")
		return b.String()
	}
}

// pieces cuts writes at random places.
type pieces struct {
	net.Conn
	rnd *rand.Rand
}

func (p *pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		k := 1 + p.rnd.IntN(min(len(b)-n, 1+len(b)/4))
		k, err = p.Conn.Write(b[n : n+k])
		n += k
	}
	return n, err
}

func TestSteadyStateAllocatesLittle(t *testing.T) {
	client, server := pipetest.TCPPair(t)
	c := NewConn(client, &Options{Host: "origin.test"})
	defer c.Close()
	require.NoError(t, c.SendRequest(bg(), &Request{Method: "PUT", Target: "/", ContentLength: 1 << 40}))
	go func() {
		io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
		go io.Copy(io.Discard, server)
		content := make([]byte, 1<<20)
		for range 95 {
			server.Write(content)
		}
	}()
	_, err := c.ReadResponse(bg())
	require.NoError(t, err)
	p := make([]byte, 1000)
	few(t, 0, "Read", func() {
		_, err := io.ReadFull(c, p)
		require.NoError(t, err)
	})
	few(t, 0, "TryWrite", func() {
		_, err := c.TryWrite(p)
		require.NoError(t, err)
	})
	send := c.SendFile(zeros{})
	send.Step()
	few(t, 0, "Step", func() { send.Step() })
}

func few(t *testing.T, most float64, what string, f func()) {
	t.Helper()
	f()
	require.LessOrEqual(t, testing.AllocsPerRun(1000, f), most, what)
}
