// Package pipetest is what the tests of this module share: a scripted
// [Origin] that a test plays by hand, a [Server] that answers by itself and
// misbehaves on request, and helpers for TLS, TCP, splits and leaks.
//
// It imports none of the packages it tests, so that all of them can use it.
//
// # Scripts
//
// A script reads like a log of the wire. Inside a testing/synctest bubble
// every Want method first lets all goroutines come to rest, so it can also
// assert that something has not happened:
//
//	synctest.Test(t, func(t *testing.T) {
//		origin, client := pipetest.New(t, newTransport)
//		a, b := client.Get("/a"), client.Get("/b")
//		origin.WantRequests("GET /a", "GET /b")
//		origin.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA")
//		a.WantContent("A")
//		b.WantPending("second response has not been sent")
//	})
//
// Virtual time advances only when the test sleeps or waits: on a network with
// latency, sleep for it before asking what has arrived.
//
// Sockets of the kernel never come to rest in that sense, so over [TCP] a
// script runs outside a bubble. There a Want method waits until what it wants
// is true and fails after 10 seconds; one that wants something not to have
// happened gives it a few milliseconds to happen and can miss it, but never
// fails wrongly. [EachNetwork] runs one script in all these ways.
package pipetest
