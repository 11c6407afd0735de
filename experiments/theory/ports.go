package theory

import "time"

// Ports are those that connect() may choose from, towards one destination from
// one source address.
type Ports struct {
	Low, High int // ip_local_port_range, both included
	Reserved  int // of these, in ip_local_reserved_ports
	Bound     int // of the rest, held by sockets that were bound: no connect() shares them
	// EndsTaken says that connect() can have neither Low nor High.
	EndsTaken bool
}

// Size is how many ports are between the two ends.
func (p Ports) Size() int { return p.High - p.Low + 1 }

// Connections is how many can stand to one destination, at least and at most.
//
// The two differ by one where the range is odd. connect() walks an even number
// of ports (__inet_hash_connect: remaining &= ~1), from a place that moves on
// with every success. Begun at Low, the walk leaves out High; begun anywhere
// else, it leaves out Low. The walk that finds nothing may have left out the
// last free port, or not.
func (p Ports) Connections() (least, most int) {
	most = max(0, p.Size()-p.Reserved-p.Bound)
	least = most
	if p.Size() > 1 && p.Size()%2 == 1 && !p.EndsTaken {
		least = max(0, most-1)
	}
	return least, most
}

// Churn is how many connections a second can be opened and closed for ever
// when each keeps its port for so long after.
func Churn(ports int, kept time.Duration) int {
	if kept <= 0 {
		return 0
	}
	return int(time.Duration(ports) * time.Second / kept)
}
