package httppipe_test

// Requests at a given pace, in virtual time, beside an http.Transport that carries the same:
// what ours never makes worse.

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/httppipe/httppipe"
	"github.com/httppipe/httppipe/internal/memnet"
	"github.com/httppipe/httppipe/internal/pipetest"
)

// A pacedLoad is n requests, one every so long, and that as many times as there are rounds,
// with no connections at the beginning of each unless idle ones are kept. If there are callers,
// each of them sends one so long after it has had the answer to that before, on average.
type pacedLoad struct {
	server    func() *pipetest.Server // a plain one, if not given
	secure    bool
	rtt, dial time.Duration // a dial takes rtt, and TLS as long again, if not given
	n         int
	callers   int
	every     time.Duration
	random    bool // on average
	rounds    int  // 1, if not given
	keep      bool
}

// paced is what has become of it.
type paced struct {
	took  []time.Duration
	dials int
}

func (p *paced) mean() (d time.Duration) {
	for _, t := range p.took {
		d += t
	}
	return d / time.Duration(len(p.took))
}

// round returns what took place in one of so many rounds, but for the dials.
func (p *paced) round(i, rounds int) *paced {
	n := len(p.took) / rounds
	return &paced{took: p.took[i*n : (i+1)*n]}
}

// run has a Transport carry l, which makeTransport makes.
func (l *pacedLoad) run(t *testing.T, makeTransport func(pipetest.DialFunc) http.RoundTripper) (out paced) {
	synctest.Test(t, func(t *testing.T) {
		server := new(pipetest.Server)
		if l.server != nil {
			server = l.server()
		}
		url := worldURL
		if l.secure {
			_, server.TLS = pipetest.TLSConfigs()
			url = "https://" + pipetest.Host + ":80"
		}
		w := newWorld(t, server, makeTransport, memnet.Latency(l.rtt/2))
		if l.dial > 0 {
			w.net.DelayDials(l.dial - l.rtt)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for range max(1, l.rounds) {
			took := make([]time.Duration, l.n)
			get := func(i int) {
				began := time.Now()
				req, err := http.NewRequest("GET", url, nil)
				require.NoError(t, err)
				resp, err := w.rt.RoundTrip(req)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				took[i] = time.Since(began)
			}
			var callers sync.WaitGroup
			var begun atomic.Int32
			for c := range l.callers {
				callers.Go(func() {
					rng := rand.New(rand.NewPCG(1, uint64(c)))
					for i := int(begun.Add(1)) - 1; i < l.n; i = int(begun.Add(1)) - 1 {
						get(i)
						time.Sleep(time.Duration(float64(l.every) * rng.ExpFloat64()))
					}
				})
			}
			for i := range took {
				if l.callers > 0 {
					break
				}
				callers.Go(func() { get(i) })
				pause := l.every
				if l.random {
					pause = time.Duration(float64(pause) * rng.ExpFloat64())
				}
				time.Sleep(pause)
			}
			callers.Wait()
			out.took = append(out.took, took...)
			if !l.keep {
				w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
			}
			time.Sleep(time.Second)
		}
		w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		time.Sleep(time.Second)
		out.dials = w.net.Dials()
		w.wantNothingLeft()
	})
	return out
}

// Those who came while an origin far away was being reached, one after the other, used to
// wait until it was known whether it can pipeline: for up to three round trips more than
// with net/http.
func TestThoseWhoComeWhileAnOriginIsReachedWaitForNoOther(t *testing.T) {
	const n = 150
	for _, secure := range []bool{false, true} {
		for _, rtt := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
			for _, every := range []time.Duration{2 * time.Millisecond, 5 * time.Millisecond} {
				t.Run(fmt.Sprint(secure, rtt, every), func(t *testing.T) {
					load := pacedLoad{secure: secure, rtt: rtt, n: n, every: every}
					reached := rtt
					if secure {
						reached = 2 * rtt
					}
					ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
					for i := range ours.took {
						later := rtt/2 + 5*time.Millisecond // while pairs show what the peer can
						if i < 64 && time.Duration(i)*every < reached {
							later = 5 * time.Millisecond // to see that it is far away
						}
						require.LessOrEqual(t, ours.took[i], theirs.took[i]+later, i)
					}
					require.LessOrEqual(t, ours.dials, 3+int(reached/every), "those who come later have none")
					require.LessOrEqual(t, ours.dials, theirs.dials)
				})
			}
		}
	}
}

// Where dials are answered by something near, and answers come from afar, those who came
// one after the other used to wait for a pair to be answered rather than for a dial.
func TestNobodyWaitsForAnAnswerWhereADialIsSooner(t *testing.T) {
	for _, every := range []time.Duration{2 * time.Millisecond, 5 * time.Millisecond} {
		load := pacedLoad{rtt: 100 * time.Millisecond, dial: time.Millisecond, n: 60, every: every, rounds: 3}
		ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
		require.Less(t, ours.mean(), theirs.mean()+7*time.Millisecond, every)
		require.LessOrEqual(t, ours.dials, theirs.dials+theirs.dials/8, every)
	}
}

// A server far away that closes each connection after a few answers, so that none could
// show that it can pipeline, or was of use for long after it had, had all requests wait
// for a few connections: ever longer, if more came than these could carry.
func TestServersFarAwayThatCloseAfterSomeAnswers(t *testing.T) {
	const n, every, burst = 1000, 2 * time.Millisecond, 64
	for _, rtt := range []time.Duration{4 * time.Millisecond, 50 * time.Millisecond} {
		for _, after := range []int{1, 2, 3, 5, 20, 100} {
			for _, announce := range []bool{true, false} {
				t.Run(fmt.Sprint(rtt, after, announce), func(t *testing.T) {
					closing := func() *pipetest.Server {
						return &pipetest.Server{Plan: behaving(pipetest.Behaviour{CloseAfter: after, Announce: announce})}
					}
					load := pacedLoad{server: closing, rtt: rtt, n: n, every: every}
					ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
					later := rtt / 2
					switch {
					case after == 1 && !announce:
						later = rtt // net/http takes what another has dialed, and sometimes loses it
					case after >= 20 && announce:
						later = rtt / 5
					case after >= 20:
						later = rtt / 3 // some are sent again until it is learnt
					}
					require.Less(t, ours.mean(), theirs.mean()+later)
					require.LessOrEqual(t, ours.dials, theirs.dials+theirs.dials/4+burst, "one more beginning, until the limit is known")
				})
			}
		}
	}
}

// One error that ended its connection was held for a limit, so that an origin far away was
// not shared again before some connection had given more answers: for most of a minute.
func TestOneEndIsNoLimit(t *testing.T) {
	failing := func() *pipetest.Server {
		var asked atomic.Int32
		return &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
			a := pipetest.AnswerContent(x)
			a.Close = asked.Add(1) == 300
			return a
		}}
	}
	load := pacedLoad{server: failing, rtt: 50 * time.Millisecond, n: 3000, every: 3 * time.Millisecond, random: true}
	ours := load.run(t, piped())
	require.Less(t, ours.dials, 100)
}

// A cold origin far away that is asked hundreds of times at once used to take up to four
// round trips more than with net/http, which opens a connection for each. It is known to be
// far when none has come about for a while, and then all have theirs.
func TestHundredsAtOnceFarAwayHaveAConnectionEach(t *testing.T) {
	const rtt = 50 * time.Millisecond
	for _, secure := range []bool{false, true} {
		for _, n := range []int{64, 130, 500} {
			load := pacedLoad{secure: secure, rtt: rtt, n: n, rounds: 2}
			ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
			require.LessOrEqual(t, slices.Max(ours.took), slices.Max(theirs.took)+11*time.Millisecond, n)
			require.LessOrEqual(t, ours.dials, theirs.dials, n)
		}
	}
}

// In the next bursts, for which two connections are kept as by net/http, those whom these
// could not carry with their next answers had waited until new ones, of which there were a few,
// had shown that they can carry many: for up to two round trips more.
func TestBurstsOfHundredsFarAwayTakeNoLongerThanWithHTTPTransport(t *testing.T) {
	const rounds = 6
	for _, rtt := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond} {
		for _, n := range []int{64, 200, 500} {
			load := pacedLoad{rtt: rtt, n: n, rounds: rounds, keep: true}
			ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
			for round := range rounds {
				mine, other := ours.round(round, rounds), theirs.round(round, rounds)
				var more, longest time.Duration
				switch round {
				case 0:
					more, longest = 11*time.Millisecond, 11*time.Millisecond // to find out that it is far
				case 1, 2:
					longest = rtt // for a few who wait for a pair
				}
				require.LessOrEqual(t, mine.mean(), other.mean()+more, "%v, %d, round %d", rtt, n, round)
				require.LessOrEqual(t, slices.Max(mine.took), slices.Max(other.took)+longest, "%v, %d, round %d", rtt, n, round)
			}
			require.LessOrEqual(t, ours.dials, theirs.dials*2/3, n)
		}
	}
}

// While nobody knew that some answers take long, all depth was used, and each of them held up
// dozens. It was known only when they came, and few who waited behind them could go elsewhere.
func TestFirstSlowAnswersHoldUpFewOthers(t *testing.T) {
	const rtt, n, every, slow = time.Millisecond, 2000, 100 * time.Microsecond, 150 * time.Millisecond
	server := func() *pipetest.Server {
		var asked atomic.Int32
		return &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
			a := pipetest.AnswerContent(x)
			if asked.Add(1)%101 == 0 {
				a.Delay = slow
			}
			return a
		}}
	}
	load := pacedLoad{server: server, rtt: rtt, n: n, every: every}
	ours := load.run(t, piped())
	held := 0
	for _, took := range ours.took {
		if took > slow/2 {
			held++
		}
	}
	require.Less(t, held, 60, "19 are slow themselves")
}

// Where hundreds are answered before the first late answer is noticed, all connections came to have
// one, and all callers to be behind one: requests took more than three times as long as with net/http.
func TestFirstSlowAnswersNearbyHoldUpFewOthers(t *testing.T) {
	var ours, theirs time.Duration
	for seed := range uint64(4) {
		server := func() *pipetest.Server {
			return servingFor(seed, func(rng *rand.Rand) time.Duration {
				if rng.IntN(80) == 0 {
					return 100 * time.Millisecond
				}
				return time.Duration(rng.ExpFloat64() * float64(30*time.Microsecond))
			})
		}
		load := pacedLoad{server: server, rtt: 4 * time.Millisecond, n: 1000, callers: 120}
		a, b := load.run(t, piped()), load.run(t, netHTTP())
		ours += a.mean()
		theirs += b.mean()
	}
	require.Less(t, ours, 2*theirs)
}

// servingFor returns a server that takes so long for each answer.
func servingFor(seed uint64, service func(*rand.Rand) time.Duration) *pipetest.Server {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, seed))
	return &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		mu.Lock()
		defer mu.Unlock()
		a := pipetest.AnswerContent(x)
		a.Delay = service(rng)
		return a
	}}
}

// One of three callers always waited for one of the two connections that there were, so that no
// two did who could have shown that the origin can pipeline; or for a partner to go with on a
// connection that was idle, until another had room, again and again. Requests took half as long
// again as with net/http, for ever.
func TestThreeCallersTakeNoLongerThanWithHTTPTransport(t *testing.T) {
	for _, service := range []time.Duration{0, 150 * time.Microsecond, time.Millisecond} {
		for _, rtt := range []time.Duration{100 * time.Microsecond, time.Millisecond} {
			for _, callers := range []int{3, 5} {
				server := func() *pipetest.Server {
					return servingFor(1, func(*rand.Rand) time.Duration { return service })
				}
				load := pacedLoad{server: server, rtt: rtt, n: 3000, callers: callers, every: 20 * time.Microsecond}
				ours, theirs := load.run(t, piped()), load.run(t, netHTTP())
				ratio := float64(ours.round(1, 2).mean()) / float64(theirs.round(1, 2).mean())
				require.Less(t, ratio, 1.15, "%v, %v, %d callers", service, rtt, callers)
			}
		}
	}
}

// GETs that share a connection left others idle, of which two are kept. Requests that need one of
// their own had to wait until another was dialed: later than with net/http, where all the
// connections are in use.
func TestPostsAmongGetsFindConnections(t *testing.T) {
	const requests = 200
	for _, rtt := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
		for _, callers := range []int{4, 16} {
			run := func(makeTransport func(pipetest.DialFunc) http.RoundTripper) (out paced) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &pipetest.Server{}, makeTransport, memnet.Latency(rtt/2))
					var mu sync.Mutex
					var group sync.WaitGroup
					for i := range callers {
						group.Go(func() {
							rng := rand.New(rand.NewPCG(1, uint64(i)))
							for range requests {
								time.Sleep(time.Duration(rng.ExpFloat64() * float64(rtt) / 10))
								method, content := "GET", io.Reader(nil)
								if rng.IntN(5) < 2 {
									method, content = "POST", strings.NewReader("x")
								}
								began := time.Now()
								req, err := http.NewRequest(method, worldURL, content)
								require.NoError(t, err)
								resp, err := w.rt.RoundTrip(req)
								require.NoError(t, err)
								require.NoError(t, resp.Body.Close())
								mu.Lock()
								out.took = append(out.took, time.Since(began))
								mu.Unlock()
							}
						})
					}
					group.Wait()
					out.dials = w.net.Dials()
					w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
					time.Sleep(time.Second)
				})
				return out
			}
			ours, theirs := run(piped()), run(netHTTP())
			require.Less(t, ours.mean(), theirs.mean(), "%v, %d callers", rtt, callers)
			require.LessOrEqual(t, ours.dials, min(theirs.dials, 4*callers), "%v, %d callers", rtt, callers)
		}
	}
}

// Who waited for a slow pair to be answered waited for as long as answers had been known to take,
// as nobody looked before.
func TestSlowPairHoldsUpNobodyForLong(t *testing.T) {
	const n, slow = 40, 60 * time.Millisecond
	var asked atomic.Int32
	var allSlow atomic.Bool
	server := &pipetest.Server{Handler: func(x *pipetest.Exchange) pipetest.Answer {
		a := pipetest.AnswerContent(x)
		switch {
		case allSlow.Load():
			a.Delay = slow
		case asked.Add(1)%10 == 0:
			a.Delay = 100 * time.Millisecond
		}
		return a
	}}
	inWorldOver(t, server, []memnet.Option{memnet.Latency(time.Millisecond / 2)}, func(w *world) {
		get := func() error {
			_, err := w.get(context.Background(), "/")
			return err
		}
		for range 8000 {
			require.NoError(t, get())
		}
		w.tr.CloseIdleConnections()
		time.Sleep(time.Second)
		allSlow.Store(true)
		require.Less(t, atOnce(t, n, get), slow*7/2)
		require.Greater(t, w.net.Dials(), n*3/4)
	})
}

// What could follow a pair was thought to be as much as on other Transports, so that those
// whom MaxPipelineDepth allows no place there had no dial either.
func TestThoseWhoFindNoPlaceBehindAPairHaveConnections(t *testing.T) {
	const rtt, n = 50 * time.Millisecond, 100
	inWorldOver(t, &pipetest.Server{}, []memnet.Option{memnet.Latency(rtt / 2)}, func(w *world) {
		w.tr.MaxPipelineDepth = 2
		var sum atomic.Int64
		get := func() error {
			began := time.Now()
			_, err := w.get(context.Background(), "/")
			sum.Add(int64(time.Since(began)))
			return err
		}
		var before sync.WaitGroup
		for range 3 {
			before.Go(func() { require.NoError(t, get()) })
		}
		time.Sleep(2*rtt + 5*time.Millisecond)
		before.Wait()
		sum.Store(0)
		atOnce(t, n, get)
		require.LessOrEqual(t, time.Duration(sum.Load()/n), 2*rtt)
	})
}

// Connections spared by requests that share others count for MaxIdleConns, but must not push
// out those to other origins, which with net/http would be kept.
func TestSparedConnectionsPushOutNoOthers(t *testing.T) {
	const others, seconds = 4, 20
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &pipetest.Server{}, func(dial pipetest.DialFunc) http.RoundTripper {
			return &httppipe.Transport{DialContext: dial, MaxIdleConns: 10}
		}, memnet.Latency(25*time.Millisecond))
		var mu sync.Mutex
		dials := make(map[string]int)
		w.net.OnDial(func(_ context.Context, _ int, addr string) error {
			mu.Lock()
			defer mu.Unlock()
			dials[addr]++
			return nil
		})
		for i := range others {
			ln, err := w.net.Listen(fmt.Sprintf("other%d:80", i))
			require.NoError(t, err)
			new(pipetest.Server).Start(t, ln)
		}
		send := func(method, url string) {
			req, err := http.NewRequest(method, url, nil)
			require.NoError(t, err)
			resp, err := w.rt.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		end := time.Now().Add(seconds * time.Second)
		var busy sync.WaitGroup
		for i := range 40 {
			busy.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(i)))
				for time.Now().Before(end) {
					time.Sleep(time.Duration(rng.ExpFloat64() * float64(10*time.Millisecond)))
					send([]string{"GET", "GET", "GET", "POST", "POST"}[rng.IntN(5)], worldURL)
				}
			})
		}
		for range seconds {
			for i := range others {
				send("GET", fmt.Sprintf("http://other%d/", i))
			}
			time.Sleep(time.Second)
		}
		busy.Wait()
		for i := range others {
			require.Equal(t, 1, dials[fmt.Sprintf("other%d:80", i)])
		}
		w.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		time.Sleep(5 * time.Second)
	})
}
