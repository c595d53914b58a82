// Package memnet is a network in memory: connections with bounded buffers,
// latency, half close and resets, and a [Network] to dial and listen on.
//
// It follows what TCP on Linux does where a client can see it, because that
// is what a transport has to survive:
//
//   - Close with unread octets resets the connection, as the kernel does.
//   - After a reset, octets that had arrived can still be read (unless
//     [DropOnReset] is given); octets still travelling are lost.
//   - The error of a reset is reported once, by whichever call comes first.
//     After that reads return [io.EOF] and writes fail with EPIPE: a clean
//     EOF behind a failed write proves nothing.
//   - The first write to a peer that has closed succeeds; it is answered with
//     a reset, and the next write fails.
//
// Blocked calls wait on a [sync.Cond] and all delays are timers of package
// time, so connections made inside a testing/synctest bubble block durably
// and live in its virtual time. Nothing here is shared between connections
// or Networks, so one made inside a bubble stays inside it.
//
// # Limitations
//
// The buffer of a direction bounds all octets written and not yet read,
// whether they travel or have arrived. With latency it therefore acts as a
// TCP window does: at most one buffer per latency. Choose [Buffer] large
// enough where throughput matters. There is no loss, no reordering and no
// bandwidth limit.
package memnet
