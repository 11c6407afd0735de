package limits

import "math/bits"

// PortSet is a set of port numbers.
type PortSet [1024]uint64

// Add puts a port into the set.
func (s *PortSet) Add(port uint16) { s[port>>6] |= 1 << (port & 63) }

// Has reports whether the port is in the set.
func (s *PortSet) Has(port uint16) bool { return s[port>>6]&(1<<(port&63)) != 0 }

// Count is how many ports are in the set.
func (s *PortSet) Count() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

func (s *PortSet) addAll(other *PortSet) {
	for i, word := range other {
		s[i] |= word
	}
}
