// Package result is what one measurement yields: the JSON that the load
// generator prints, and that cmd/compare collects.
package result

// A Result is one contestant's measurement in one round of one workload.
// Times are in microseconds; what is "per request" is an average.
type Result struct {
	Name  string `json:"name"`
	Round int    `json:"round"`

	Requests   int64   `json:"requests"` // answered in the measured time
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"` // measured time
	PerSecond  float64 `json:"per_second"`
	GBps       float64 `json:"gb_per_second,omitempty"` // uploads: 10^9 octets of content

	// Of the client's process, per request.
	CPU      float64 `json:"cpu"` // User + System
	User     float64 `json:"user"`
	System   float64 `json:"system"`
	Allocs   float64 `json:"allocs"`
	Bytes    float64 `json:"bytes"`    // allocated
	Reads    float64 `json:"reads"`    // system calls that read
	Writes   float64 `json:"writes"`   // system calls that write
	Switches float64 `json:"switches"` // of threads, voluntary or not
	GCs      uint32  `json:"gcs"`      // in the measured time

	Conns int64 `json:"conns"` // connections opened since the process began

	// Latencies. Where there are slow requests these are of the fast ones.
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Late    float64 `json:"late"` // share of the fast requests that took over 50 ms
	SlowP50 float64 `json:"slow_p50,omitempty"`
	SlowP99 float64 `json:"slow_p99,omitempty"`

	// Again is the number of requests that the client sent once more, by its own
	// count, for each one that a caller wanted; nil if it does not count them.
	Again *float64 `json:"again,omitempty"`

	// Cold workloads only: milliseconds until all requests of a batch are
	// answered. Conns is for each batch then.
	Batch float64 `json:"batch,omitempty"`

	// Memory workloads only.
	Held       float64 `json:"held,omitempty"`       // octets of heap and stacks per idle connection or waiting caller
	Goroutines float64 `json:"goroutines,omitempty"` // the same

	// Foreign is the CPU that other processes took meanwhile, in cores.
	Foreign float64 `json:"foreign_cores"`

	// Stall is the longest that another process, which only sleeps, was woken too
	// late meanwhile, in milliseconds: what the machine alone adds to latencies.
	Stall float64 `json:"stall_ms"`
}
