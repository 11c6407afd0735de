package limits

import (
	"brink/collector/sockdiag"
)

// Connections is how many TCP sockets of a namespace are in a state.
type Connections struct {
	Netns uint32
	IPv6  bool
	State uint8 // of include/net/tcp_states.h; 13 is bound and nothing else
	Count uint64
}

// states counts sockets by family and state.
type states [2][boundInactive + 1]uint64

func (c *states) add(s *sockdiag.Socket) {
	family := 0
	if s.Local.Addr().Is6() {
		family = 1
	}
	if int(s.State) < len(c[family]) {
		c[family][s.State]++
	}
}

func (c *states) list(netns uint32) (list []Connections) {
	for family := range c {
		for state, n := range c[family] {
			if n > 0 {
				list = append(list, Connections{netns, family == 1, uint8(state), n})
			}
		}
	}
	return list
}
