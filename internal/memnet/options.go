package memnet

import "time"

// DefaultBuffer is the buffer of each direction, in octets. It is of the
// order of an untuned TCP window, so that code that would deadlock on a full
// socket does so here too.
const DefaultBuffer = 64 << 10

// An Option changes how connections behave. It applies to both ends;
// [Conn.SetMaxRead] and its like change one.
type Option func(*config)

type config struct {
	buffer      int
	latency     time.Duration
	maxRead     int
	maxWrite    int
	logWrites   bool
	logReads    bool
	dropOnReset bool
	sockets     bool
}

func newConfig(opts []Option) config {
	cfg := config{buffer: DefaultBuffer}
	for _, opt := range opts {
		opt(&cfg)
	}
	return cfg
}

// Buffer sets how many octets each direction holds that were written but not
// read yet. It panics unless octets is positive.
func Buffer(octets int) Option {
	if octets <= 0 {
		panic("memnet: a buffer must hold at least one octet")
	}
	return func(cfg *config) { cfg.buffer = octets }
}

// Latency sets how long octets, ends of streams and resets travel one way.
// Dialing through a [Network] takes a round trip, twice as long.
func Latency(oneWay time.Duration) Option {
	return func(cfg *config) { cfg.latency = oneWay }
}

// MaxRead limits what one Read returns. Zero means no limit.
func MaxRead(octets int) Option { return func(cfg *config) { cfg.maxRead = octets } }

// MaxWrite limits how many octets a Write hands over at a time. A longer
// Write still takes all of them, as a net.Conn must, but in pieces of this
// size, and lets other goroutines run between two of them. Zero means no limit.
func MaxWrite(octets int) Option { return func(cfg *config) { cfg.maxWrite = octets } }

// LogWrites makes connections remember the octets of each Write; see
// [Conn.WriteLog].
func LogWrites() Option { return func(cfg *config) { cfg.logWrites = true } }

// LogReads makes connections remember the octets of each Read; see
// [Conn.ReadLog].
func LogReads() Option { return func(cfg *config) { cfg.logReads = true } }

// DropOnReset makes an arriving reset destroy the octets that wait to be
// read. Without it they survive, as they do on Linux.
func DropOnReset() Option { return func(cfg *config) { cfg.dropOnReset = true } }

// Sockets makes [Network.DialContext] return each connection as a [Socket].
func Sockets() Option { return func(cfg *config) { cfg.sockets = true } }
