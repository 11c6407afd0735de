package theory

import (
	"math/big"
	"time"
)

// DefaultPorts is the size of Linux's default ip_local_port_range, 32768–60999.
const DefaultPorts = 60999 - 32768 + 1

// TimeWait is how long the end that closed first keeps the 4-tuple
// (TCP_TIMEWAIT_LEN, a constant; tcp_fin_timeout does not change it).
const TimeWait = 60 * time.Second

// Practice is the same n machines as Linux has them: n−1 clients with the ports
// that connect() may choose by default, and one server port.
func Practice(n, m *big.Int) []Answer {
	clients := plus(n, -1)
	ports := least(m, big.NewInt(DefaultPorts))
	each := []Input{{"C", clients}, {"P", ports}}
	stand := mul(clients, ports)
	perSecond := new(big.Int).Div(ports, big.NewInt(int64(TimeWait/time.Second)))
	return []Answer{{
		Name: "clients", Formula: "C × P", Inputs: each, Value: stand, Unit: "connections",
		Why:    "to one server address and port only the source can differ: C clients with P ports each that connect() may choose (32768–60999 by default)",
		WhyNot: "it is per source address and per destination: a client with a second address has P more, and so has a second server port",
	}, {
		Name: "listener", Formula: "C × P + 1", Inputs: each, Value: plus(stand, 1), Unit: "sockets",
		Why:    "one listening socket, many established ones: each connection is a socket and a descriptor of its own at the server, and all of them have the one local port",
		WhyNot: "the server's descriptors and memory run out, as its ports never do (brink run one-listener-many)",
	}, {
		Name: "churn", Formula: "⌊P / 60 s⌋", Inputs: each[1:], Value: perSecond, Unit: "connections/s",
		Why:    "the end that closes first keeps the 4-tuple in TIME_WAIT for 60 s: a client that opens and closes has each of its P ports back a minute later",
		WhyNot: "it is per source address and per destination too, and for a client that closes first: if the server does, the client's ports are free at once; tcp_tw_reuse shortens the minute to a second",
	}}
}
