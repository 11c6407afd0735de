package ledger

import (
	"net/netip"
	"testing"

	"brink/collector"
)

func TestDestinationIsTheService(t *testing.T) {
	near, far := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:443")
	for _, c := range []struct {
		role        collector.Role
		local, peer netip.AddrPort
		want        destinationKey
	}{
		{collector.RoleClient, near, far, destinationKey{far.Addr(), 443, collector.RoleClient}},
		{collector.RoleServer, far, near, destinationKey{near.Addr(), 443, collector.RoleServer}},
		{collector.RoleUnknown, near, far, destinationKey{far.Addr(), 443, collector.RoleClient}},
		{collector.RoleUnknown, far, near, destinationKey{near.Addr(), 443, collector.RoleServer}},
		{collector.RoleClient, far, near, destinationKey{near.Addr(), 40000, collector.RoleClient}},
	} {
		if got := destinationOf(c.role, c.local, c.peer); got != c.want {
			t.Errorf("%v from %v to %v counts under %v", c.role, c.local, c.peer, got)
		}
	}
}

// TestDestinationsAreBounded: the large ones stay, nothing is lost in the sum,
// and an end finds its row also after that went into the others.
func TestDestinationsAreBounded(t *testing.T) {
	var d destinations
	var rows []*row
	for i := range 10 * maxDestinations {
		key := destinationKey{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 443, collector.RoleClient}
		for range 1 + i%2 { // every second one is large
			r := d.of(key)
			r.entered++
			r.now++
			rows = append(rows, r)
		}
	}
	if len(d.rows) > 2*maxDestinations {
		t.Errorf("%d rows", len(d.rows))
	}
	top, other := d.top(10)
	sum := other.Entered
	for _, row := range top {
		if row.Entered != 2 {
			t.Errorf("%+v is among the largest", row)
		}
		sum += row.Entered
	}
	if sum != int64(len(rows)) {
		t.Errorf("the sum is %d of %d", sum, len(rows))
	}
	for _, r := range rows {
		r.leave()
	}
	for _, key := range d.keys() {
		if n := d.rows[key].now; n != 0 {
			t.Fatalf("%v has %d", key, n)
		}
	}
	if d.other.now != 0 {
		t.Errorf("the others have %d", d.other.now)
	}
}

// TestRoleComesWithTheConnection: its end is told right before the entry.
func TestRoleComesWithTheConnection(t *testing.T) {
	l := New(Options{})
	c := begun(0, collector.RoleServer, 40000) // its own port is the higher one
	l.Accept(c)
	l.Accept(enter(1, 40000))
	l.Accept(enter(1, 40001))
	top, _ := l.accounts[netns].to.top(10)
	if len(top) != 2 || top[0].Role != collector.RoleClient || top[1].Role != collector.RoleServer || top[1].Port != 40000 {
		t.Errorf("%+v", top)
	}
}
