package main

import (
	"cmp"
	"slices"

	"brink/collector/limits"
)

// bound is one limit of this host as a number of connections.
type bound struct {
	limit string // the value of brink.limit
	scope scope
	unit  string // standing, or what else it counts
	// value is how many there can be in all, and used how many there are.
	value, used uint64
	// atMost is above value where the kernel may let one more in.
	atMost  uint64
	formula string // of value
	inputs  []quantity
	knob    string // the setting, with its value
	lifts   string // what to change
	note    string
}

// quantity is one input of a formula.
type quantity struct {
	name  string
	value uint64
}

// scope is whose limit it is, which says what lifts it: another destination,
// another process, another host. A limit of a network namespace counts as the
// host's.
type scope string

const (
	perDestination scope = "destination"
	perProcess     scope = "process"
	perHost        scope = "host"
	perListener    scope = "listener"
)

// phrase is the scope as the end of "so many connections …".
func (s scope) phrase() string {
	switch s {
	case perDestination:
		return "from one address to one destination"
	case perProcess:
		return "of one process"
	case perListener:
		return "at one listener"
	}
	return "on this host"
}

// standing is the unit of limits on how many connections stand at the same time:
// only these are compared. The others count something else, such as connections
// that wait for accept(), of which there are many more or none.
const standing = "connections"

func (b *bound) compared() bool { return b.unit == standing }

// perSecond is the unit of a rate.
const perSecond = "connections/s"

// hasUse: nothing of a rate is used or free, and which listener is meant is not
// known.
func (b *bound) hasUse() bool { return b.unit != perSecond && b.scope != perListener }

// free is how many more there can be.
func (b *bound) free() uint64 { return b.value - min(b.used, b.value) }

// rank puts the limit that is met first in front, and behind those that are
// compared the others as they were.
func rank(bounds []bound) {
	slices.SortStableFunc(bounds, func(a, b bound) int {
		switch {
		case a.compared() && b.compared():
			return cmp.Compare(a.free(), b.free())
		case a.compared():
			return -1
		case b.compared():
			return 1
		}
		return 0
	})
}

// catalogued fills in what the catalogue knows of a limit.
func catalogued(l limits.Limit, b bound) bound {
	b.limit = l.String()
	b.lifts = l.Entry().Advice
	return b
}
