// Package evloop is what the bench's single-threaded servers are made of: a
// thin layer over epoll (Linux only) and a queue of deadlines.
//
// The servers share two cores with the client they are there to measure, so
// they have to be far cheaper than it: one thread, no goroutine switch, no
// allocation in the steady state. Go's own poller would cost them several
// times as much.
package evloop
