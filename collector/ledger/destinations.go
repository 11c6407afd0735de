package ledger

import (
	"cmp"
	"net/netip"
	"slices"

	"brink/collector"
)

// A Destination is what timewait sockets are counted under: the peer and the
// service's port, never an ephemeral one. At the client's end that is the peer's
// address and port; at the server's, its own port with the client's address.
type Destination struct {
	Peer netip.Addr
	Port uint16 // the service's
	Role collector.Role

	Entered int64
	Now     int64
}

type destinationKey struct {
	peer netip.Addr
	port uint16
	role collector.Role
}

// destinationOf takes the lower port for the service's where the role is not
// known: ephemeral ports begin at 32768, services are below.
func destinationOf(role collector.Role, local, peer netip.AddrPort) destinationKey {
	if role == collector.RoleServer || role != collector.RoleClient && local.Port() < peer.Port() {
		return destinationKey{peer.Addr(), local.Port(), collector.RoleServer}
	}
	return destinationKey{peer.Addr(), peer.Port(), collector.RoleClient}
}

// maxDestinations is how many an account tells apart for certain.
const maxDestinations = 1000

// destinations are an account's rows, at most twice maxDestinations: then the
// smaller half goes into other. The sort is paid by as many new rows.
type destinations struct {
	rows  map[destinationKey]*row
	other row
}

type row struct {
	entered, now int64
	into         *row // where its count went on when it was merged
}

func (d *destinations) of(key destinationKey) *row {
	if r := d.rows[key]; r != nil {
		return r
	}
	if d.rows == nil {
		d.rows = map[destinationKey]*row{}
	}
	if len(d.rows) >= 2*maxDestinations {
		d.merge()
	}
	r := &row{}
	d.rows[key] = r
	return r
}

func (d *destinations) merge() {
	for _, key := range d.keys()[maxDestinations:] {
		r := d.rows[key]
		d.other.entered += r.entered
		d.other.now += r.now
		r.into = &d.other
		delete(d.rows, key)
	}
}

// keys are the rows in order, the largest first.
func (d *destinations) keys() []destinationKey {
	keys := make([]destinationKey, 0, len(d.rows))
	for key := range d.rows {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b destinationKey) int {
		x, y := d.rows[a], d.rows[b]
		return cmp.Or(cmp.Compare(y.now, x.now), cmp.Compare(y.entered, x.entered),
			a.peer.Compare(b.peer), cmp.Compare(a.port, b.port), cmp.Compare(a.role, b.role))
	})
	return keys
}

// top are the n largest, and the sum of the rest.
func (d *destinations) top(n int) (top []Destination, other Destination) {
	other = Destination{Entered: d.other.entered, Now: d.other.now}
	for i, key := range d.keys() {
		r := d.rows[key]
		if i >= n {
			other.Entered += r.entered
			other.Now += r.now
			continue
		}
		top = append(top, Destination{Peer: key.peer, Port: key.port, Role: key.role, Entered: r.entered, Now: r.now})
	}
	return top, other
}

// leave takes one out, wherever its count is by now.
func (r *row) leave() {
	if r.into != nil {
		r = r.into
	}
	r.now--
}
