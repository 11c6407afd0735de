package lab

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
)

// TestTrack: a connection is an entry, once and only once the lab tracks.
func TestTrack(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
		s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Accept: true}))(t)
		for _, entries := range []string{"0", "3"} {
			equal(t, "opened", must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 3}))(t).Opened, 3)
			equal(t, "entries", must(l.Sysctl(ctx, "net.netfilter.nf_conntrack_count"))(t), entries)
			noError(t, l.Track(ctx))
		}
		equal(t, "entries", must(l.Counters(ctx))(t)["conntrack.entries"], 3)
	})
}

func TestConntrackFile(t *testing.T) {
	got := map[string]uint64{}
	noError(t, addConntrack(got, strings.NewReader(
		"entries  clashres found drop early_drop\n0000000a 00000000 00000001 00000010 00000002\n0000000a 00000000 00000003 00000001 00000000\n")))
	want := map[string]uint64{
		"conntrack.entries": 10, "conntrack.clashres": 0, "conntrack.found": 4, "conntrack.drop": 17, "conntrack.early_drop": 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// AtEnd's functions run once, in reverse, and their errors are told.
func TestAtEnd(t *testing.T) {
	l := newLab(t, Options{})
	var order string
	for _, name := range []string{"first", "second"} {
		l.AtEnd(func() error { order += name + " "; return nil })
	}
	noError(t, l.Close())
	noError(t, l.Close())
	equal(t, "order", order, "second first ")
}
