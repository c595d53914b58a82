package httppipe_test

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The model test runs random programs against random servers. It wants of each:
//
//   - Everybody gets the octets of the answer to their own request, or an error.
//   - There is no error without a reason: see run.failed.
//   - No call hangs that could not hang with net/http: see program.mayHang.
//   - No request is received twice that may not be, and nothing behind one that is
//     to be alone.
//   - No more connections than allowed, and no more octets in memory than bounded.
//   - At the end nothing is left.
//
// Where any client would be deceived that pipelines, or that cannot ask what has
// arrived, exactly that is excused: see run.isMixedUp and run.isUnseen.
//
// The seed decides the program, the server, and the back-end: every other program runs
// over sockets in memory, the others over the goroutines that serve any net.Conn. The
// order in which goroutines run is not decided by it, so that a failure may need
// several runs to come back. (In package pipeline there is a model of which every
// step is decided by the seed.)
//
// HTTPPIPE_MODEL_FIRST is the first seed, HTTPPIPE_MODEL_SEEDS is how many there are.
// HTTPPIPE_MODEL_TIME is, in place of the latter, for how long to go on; the first
// seed is random then, unless it is given.
func TestModel(t *testing.T) {
	log.SetOutput(io.Discard) // net/http says there what it finds on idle connections
	defer log.SetOutput(os.Stderr)
	eachSeed(t, 200, func(t *testing.T, seed int) {
		p := newProgram(seed)
		hangs := p.inMemory(t, p.piped())
		if len(hangs) > 0 && !p.mayHang() {
			t.Errorf("these calls hang: %v\n%v", hangs, p)
		}
		if seed%20 == 0 && !p.mayHang() && !p.spins() {
			require.Empty(t, p.inMemory(t, p.netHTTP()), "calls that hang with net/http\n%v", p)
		}
	})
}

// The same over sockets of the system, with their resets and half-closed connections,
// in real time. What a pair is, and what comes behind it, is up to the system there.
func TestModelOverTCP(t *testing.T) {
	eachSeed(t, 10, func(t *testing.T, seed int) {
		p := newProgram(seed)
		if p.mayHang() {
			return
		}
		p.hasten(20)
		if hangs := p.overTCP(t); len(hangs) > 0 {
			t.Errorf("these calls hang: %v\n%v", hangs, p)
		}
	})
}

// eachSeed runs f for some seeds, two at a time.
func eachSeed(t *testing.T, seeds int, f func(t *testing.T, seed int)) {
	if testing.Short() {
		seeds /= 4
	}
	seeds = environment(t, "HTTPPIPE_MODEL_SEEDS", seeds, strconv.Atoi)
	first, end := 1, time.Now().Add(time.Hour)
	if limit := environment(t, "HTTPPIPE_MODEL_TIME", 0, time.ParseDuration); limit > 0 {
		first, seeds, end = rand.IntN(1e9), 1e9, time.Now().Add(limit)
	}
	first = environment(t, "HTTPPIPE_MODEL_FIRST", first, strconv.Atoi)
	var ran atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for range 2 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for time.Now().Before(end) {
					i := int(ran.Add(1)) - 1
					if i >= seeds {
						break
					}
					t.Run(fmt.Sprint("seed=", first+i), func(t *testing.T) { f(t, first+i) })
				}
			})
		}
	})
	fmt.Printf("%s: %d seeds from %d\n", t.Name(), min(int(ran.Load()), seeds), first)
}

// environment is the value of a variable, or otherwise.
func environment[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	parsed, err := parse(value)
	require.NoError(t, err, name)
	return parsed
}
