// Package load is the load generator: it runs one contestant with one workload
// in this process and measures what that costs the process.
package load

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/httppipe/httppipe/bench/contestant"
)

// Options say what to run. The zero value of a field that has a default in
// [Options.Bind] is not usable.
type Options struct {
	Name        string
	Addr        string
	TLS         bool
	Mode        string
	Concurrency int
	Conns       int
	Path        string
	Want        int64
	Duration    time.Duration
	WarmUp      time.Duration

	Slow      string  // path of slow requests; empty: none
	SlowEvery int     // one in so many is slow
	Rate      float64 // requests in a second, by a schedule; 0: each caller one after the other
	Cold      bool    // see cold

	Upload string // memory, file or copy; empty: GET
	Size   int64
	File   string

	Held string // idle or waiting: measure memory instead of time

	CPUProfile string
}

// Kinds of [Options.Upload] and [Options.Held].
const (
	UploadMemory = "memory"
	UploadFile   = "file"
	UploadCopy   = "copy"
	HeldIdle     = "idle"
	HeldWaiting  = "waiting"
)

// Bind makes flags of the options, with their defaults.
func (o *Options) Bind(fs *flag.FlagSet) {
	fs.StringVar(&o.Name, "name", "nethttp", "contestant")
	fs.StringVar(&o.Addr, "addr", "", "address of the origin")
	fs.BoolVar(&o.TLS, "tls", false, "speak TLS to it")
	fs.StringVar(&o.Mode, "mode", string(contestant.Reuse), "how RoundTripper contestants are called: reuse, client or timeout")
	fs.IntVar(&o.Concurrency, "callers", 64, "concurrent callers")
	fs.IntVar(&o.Conns, "conns", 0, "most connections (0: the contestant's choice)")
	fs.StringVar(&o.Path, "path", "/b/128", "path to request")
	fs.Int64Var(&o.Want, "want", 128, "octets of content expected in the response")
	fs.DurationVar(&o.Duration, "d", 2*time.Second, "measured time")
	fs.DurationVar(&o.WarmUp, "warmup", 300*time.Millisecond, "time before that")
	fs.StringVar(&o.Slow, "slow", "", "path of slow requests")
	fs.IntVar(&o.SlowEvery, "slowevery", 100, "one request in this many is slow")
	fs.Float64Var(&o.Rate, "rate", 0, "send so many requests in a second, at random moments and whatever becomes of them (0: each caller sends one after the other)")
	fs.BoolVar(&o.Cold, "cold", false, "measure batches: one request of each caller, all at once, through a new client")
	fs.StringVar(&o.Upload, "upload", "", "PUT with content from memory, file, or copy (a file that cannot be seen to be one)")
	fs.Int64Var(&o.Size, "size", 1<<20, "octets to upload")
	fs.StringVar(&o.File, "file", "", "file to upload")
	fs.StringVar(&o.Held, "held", "", "measure the memory that each of -callers idle connections (idle) or waiting callers (waiting) holds")
	fs.StringVar(&o.CPUProfile, "cpuprofile", "", "write a CPU profile of the measured time to this file")
}

// Args are the command line that Bind's flags parse into o.
func (o *Options) Args() []string {
	return []string{
		"-name", o.Name, "-addr", o.Addr, "-tls=" + strconv.FormatBool(o.TLS), "-mode", o.Mode,
		"-callers", strconv.Itoa(o.Concurrency), "-conns", strconv.Itoa(o.Conns),
		"-path", o.Path, "-want", strconv.FormatInt(o.Want, 10),
		"-d", o.Duration.String(), "-warmup", o.WarmUp.String(),
		"-slow", o.Slow, "-slowevery", strconv.Itoa(o.SlowEvery),
		"-rate", strconv.FormatFloat(o.Rate, 'g', -1, 64), "-cold=" + strconv.FormatBool(o.Cold),
		"-upload", o.Upload, "-size", strconv.FormatInt(o.Size, 10), "-file", o.File,
		"-held", o.Held, "-cpuprofile", o.CPUProfile,
	}
}

// op is the request that is repeated.
func (o *Options) op() (*contestant.Op, error) {
	op := &contestant.Op{Path: o.Path, Want: o.Want, UploadLen: o.Size}
	switch o.Upload {
	case "":
		op.UploadLen = 0
	case UploadMemory:
		op.Mem = make([]byte, o.Size)
		op.Upload = func() (io.Reader, error) { return bytes.NewReader(op.Mem), nil }
	case UploadFile:
		op.Upload = func() (io.Reader, error) { return os.Open(o.File) }
	case UploadCopy:
		op.Upload = func() (io.Reader, error) {
			f, err := os.Open(o.File)
			return contestant.CopyOnly{F: f}, err
		}
	default:
		return nil, fmt.Errorf("unknown kind of upload %q", o.Upload)
	}
	return op, nil
}

// slowOp is the request mixed in with it, or nil.
func (o *Options) slowOp() *contestant.Op {
	if o.Slow == "" {
		return nil
	}
	return &contestant.Op{Path: o.Slow, Want: o.Want}
}

var errPumpMix = errors.New("this contestant cannot mix requests")
