package diagnosis

import (
	"net/netip"
	"testing"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// TestListeners: who answers is whom the kernel prefers.
func TestListeners(t *testing.T) {
	listen := func(at string, v6only bool) Holder {
		h := holderOf(sockdiag.Socket{Protocol: unix.IPPROTO_TCP, State: uint8(collector.Listen), Inode: 1, Local: netip.MustParseAddrPort(at)})
		h.Options.V6Only = v6only
		return h
	}
	all := []Holder{listen("[::]:80", false), listen("0.0.0.0:80", false), listen("127.0.0.1:80", false), listen("127.0.0.1:80", false)}
	for _, c := range []struct {
		to   string
		here []Holder
		want int
		at   string
	}{
		{"127.0.0.1:80", all, 2, "127.0.0.1:80"},
		{"127.0.0.2:80", all, 1, "0.0.0.0:80"},
		{"127.0.0.2:80", all[:1], 1, "[::]:80"},
		{"127.0.0.2:80", []Holder{listen("[::]:80", true)}, 0, ""},
		{"[::1]:80", all, 1, "[::]:80"},
		{"[::1]:80", all[1:], 0, ""},
		{"[::1]:80", []Holder{listen("[::]:80", true)}, 1, "[::]:80"},
	} {
		d := Destination{To: netip.MustParseAddrPort(c.to), Here: c.here}
		got := d.listeners()
		if len(got) != c.want || len(got) > 0 && got[0].Local.String() != c.at {
			t.Errorf("%s of %d: %v", c.to, len(c.here), got)
		}
	}
}

// TestReuses: ports in TIME_WAIT are free where connect() takes them.
func TestReuses(t *testing.T) {
	for _, c := range []struct {
		reuse      uint64
		timestamps bool
		to         string
		used       uint64
	}{
		{0, true, "127.0.0.1:80", 9}, {1, true, "192.0.2.7:80", 2}, {1, false, "192.0.2.7:80", 9},
		{2, true, "192.0.2.7:80", 9}, {2, true, "127.0.0.1:80", 2}, {2, true, "[::1]:80", 2},
	} {
		d := Destination{
			To: netip.MustParseAddrPort(c.to), Timestamps: c.timestamps, Route: Way{Source: netip.MustParseAddr("10.0.0.1")},
			Settings: limits.Settings{TimeWaitReuse: c.reuse, Ports: &limits.PortRange{Low: 1, High: 10}},
			Towards:  limits.Use{Used: 9, Max: 10, TimeWait: 7},
		}
		if got := d.towards().Used; got != c.used {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestRefusalsOf: what a namespace's counter tells is everybody's, and not in
// the verdict.
func TestRefusalsOf(t *testing.T) {
	r := Refusals{Netns: 5, PID: 7}
	for _, pid := range []uint32{7, 8, 0} {
		r.Accept(&collector.LimitHit{Limit: limits.Threads, Errno: unix.EAGAIN, Netns: 5, Owner: collector.Owner{PID: pid}})
	}
	r.Accept(&collector.LimitHit{Limit: limits.ConntrackTable, Outcome: collector.Dropped, Count: 4, Netns: 5})
	r.Accept(&collector.Connection{Netns: 5, Owner: collector.Owner{PID: 7}})
	if n := len(r.All()); n != 3 {
		t.Fatalf("%d kinds: %+v", n, r.All())
	}
	to := netip.MustParseAddrPort("192.0.2.7:80")
	d := Destination{To: to, Watched: Watched{For: 1, Refusals: r.All()}}
	got := d.refusals()
	if len(got) != 2 || got[0].Limit != limits.ConntrackTable || got[1].PID != 7 {
		t.Errorf("%+v", got)
	}
	if s := d.Watched.inVerdict(got[:1]); s != "" {
		t.Errorf("the verdict has %q", s)
	}
}
