package pipeline

import "fmt"

// sendState says what the sending half may put on the wire next.
type sendState uint8

const (
	sendReady   sendState = iota // the head of a new request
	sendHold                     // nothing until 100 (Continue), RFC 9110, Section 10.1.1
	sendContent                  // content of the current request
	sendClosed                   // nothing, ever again
)

var sendStateNames = [...]string{"ready", "hold", "content", "closed"}

func (s sendState) String() string { return sendStateNames[s] }

// sendMoves lists the legal moves, as a bit set per state. A head is serialised
// in one piece, so there is no state for half of one.
var sendMoves = [...]uint8{
	sendReady: 1<<sendHold | 1<<sendContent | 1<<sendClosed,
	// A final response in place of 100 does not end the request: its framing
	// still announces content, so we send it or give up the connection.
	sendHold:    1<<sendContent | 1<<sendClosed,
	sendContent: 1<<sendReady | 1<<sendClosed,
	sendClosed:  0,
}

// setSend is the only writer of c.send. c.mu is held.
func (c *Conn) setSend(next sendState) {
	if sendMoves[c.send]&(1<<next) == 0 {
		panic(fmt.Sprintf("pipeline: internal error: send state %v -> %v", c.send, next))
	}
	c.send = next
	if next == sendClosed {
		c.full.Store(true)
	}
}

// sayLast has nothing more begun; c.mu is held. It is the only writer of c.lastSaid.
func (c *Conn) sayLast() {
	c.lastSaid = true
	c.full.Store(true)
}

// receiveState says what the receiving half expects next.
type receiveState uint8

const (
	receiveHead    receiveState = iota // an interim or final response head
	receiveContent                     // content of the current response
	receiveTunnel                      // octets that are no longer HTTP
	receiveClosed                      // nothing, ever again
)

var receiveStateNames = [...]string{"head", "content", "tunnel", "closed"}

func (s receiveState) String() string { return receiveStateNames[s] }

var receiveMoves = [...]uint8{
	receiveHead:    1<<receiveHead | 1<<receiveContent | 1<<receiveTunnel | 1<<receiveClosed,
	receiveContent: 1<<receiveHead | 1<<receiveClosed,
	receiveTunnel:  1 << receiveClosed,
	receiveClosed:  0,
}

// setReceive is the only writer of c.receive. c.mu is held.
func (c *Conn) setReceive(next receiveState) {
	if receiveMoves[c.receive]&(1<<next) == 0 {
		panic(fmt.Sprintf("pipeline: internal error: receive state %v -> %v", c.receive, next))
	}
	c.receive = next
}
