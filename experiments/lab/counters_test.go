package lab

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
)

func TestCounterFiles(t *testing.T) {
	got := map[string]uint64{}
	noError(t, addNetstat(got, strings.NewReader("Tcp: RtoMin MaxConn ActiveOpens\nTcp: 200 -1 7\nTcpExt: TW\nTcpExt: 3\n")))
	noError(t, addSockstat(got, strings.NewReader("sockets: used 9\nTCP: inuse 5 orphan 0 tw 2\n")))
	want := map[string]uint64{
		"Tcp.RtoMin": 200, "Tcp.ActiveOpens": 7, "TcpExt.TW": 3,
		"sockets.used": 9, "TCP.inuse": 5, "TCP.orphan": 0, "TCP.tw": 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Active closes: as many timewait sockets as tcp_max_tw_buckets, the rest counted.
func TestCountersAreTheNamespacesOwn(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx := deadline(t)
		noError(t, l.SetSysctl(ctx, "net.ipv4.tcp_max_tw_buckets", "5"))
		w := newWorker(t, l, WorkerOptions{})
		s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Accept: true, CloseOnEOF: true}))(t)
		c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 9}))(t)
		equal(t, "opened", c.Opened, 9)
		equal(t, "active opens", must(l.Counters(ctx))(t)["Tcp.ActiveOpens"], 9)
		equal(t, "closed", must(w.CloseSockets(ctx, c.Sockets, CloseNormally))(t), 9)
		eventually(t, "5 timewait sockets, 4 overflows, all closed at the server", func() bool {
			n := must(l.Counters(ctx))(t)
			return n["TCP.tw"] == 5 && n["TcpExt.TCPTimeWaitOverflow"] == 4 && must(w.Accepted(ctx, s.Handle, false))(t).Open == 0
		})
	})
}
