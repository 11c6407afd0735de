package limits

import (
	"net/netip"
	"testing"

	"brink/collector/sockdiag"
)

func listener(local string, inode, waiting, backlog uint32) sockdiag.Socket {
	return sockdiag.Socket{
		State: listening, Local: netip.MustParseAddrPort(local), Inode: inode, Cookie: uint64(inode),
		ReceiveQueue: waiting, SendQueue: backlog,
	}
}

func countListeners(sockets []sockdiag.Socket) listeners {
	l := newListeners()
	for i := range sockets {
		l.add(&sockets[i])
	}
	return l
}

func TestAcceptQueues(t *testing.T) {
	l := countListeners([]sockdiag.Socket{
		listener("0.0.0.0:80", 1, 3, 4),
		socket(established, "10.0.0.1:80", "10.0.0.2:40000"),
		listener("[::]:80", 2, 0, 4096),
	})
	list := l.accept(&Settings{Somaxconn: 4096}, map[uint32]sockdiag.Process{1: {PID: 812, Name: "nginx"}})
	equal(t, "readings", len(list), 2)
	equal(t, "knob", list[0].Knob, "listen(2) backlog = 4, net.core.somaxconn = 4096")
	for i, want := range []Reading{
		{Used: 3, Max: 5, PID: 812, Process: "nginx", Local: netip.MustParseAddrPort("0.0.0.0:80")},
		{Used: 0, Max: 4097, Local: netip.MustParseAddrPort("[::]:80")},
	} {
		got := Reading{Used: list[i].Used, Max: list[i].Max, PID: list[i].PID, Process: list[i].Process, Local: list[i].Local}
		equal(t, "reading", got, want)
	}
	if list[0].subject() == list[1].subject() {
		t.Error("two listeners are the same subject")
	}
}

// Requests belong to the listener of their address, else to a wildcard one.
func TestSYNQueues(t *testing.T) {
	request := func(local string) sockdiag.Socket { return socket(synReceived, local, "10.0.0.9:1234") }
	l := countListeners([]sockdiag.Socket{
		request("10.0.0.1:80"), request("10.0.0.1:80"), request("10.0.0.2:80"), request("[fd00::1]:80"),
		request("10.0.0.1:81"), request("10.0.0.1:82"), request("10.0.0.1:83"),
		listener("10.0.0.1:80", 1, 0, 4), listener("0.0.0.0:80", 2, 0, 4), listener("[::]:80", 3, 0, 4),
		listener("[::]:81", 4, 0, 4),                                     // takes IPv4 as well
		listener("0.0.0.0:82", 5, 0, 4), listener("0.0.0.0:82", 6, 0, 4), // SO_REUSEPORT
	})
	list := l.syn(&Settings{SYNCookies: 1, MaxSYNBacklog: 2}, nil)
	type row struct {
		local     string
		used, max uint64
		note      string
	}
	want := []row{
		{"10.0.0.1:80", 2, 5, ""}, {"0.0.0.0:80", 1, 5, ""}, {"[::]:80", 1, 5, ""},
		{"[::]:81", 1, 5, ""}, {"0.0.0.0:82", 1, 10, "2 listeners together"},
	}
	equal(t, "readings", len(list), len(want))
	for i, r := range list {
		equal(t, "reading", row{r.Local.String(), r.Used, r.Max, r.Note}, want[i])
	}
}

// The figures for tcp_syncookies = 0 are what 6.18 was seen to take.
func TestMaxRequests(t *testing.T) {
	for _, test := range []struct {
		backlog            uint32
		cookies, maxBackog uint64
		want               uint64
	}{
		{4, 1, 2048, 5}, {0, 1, 2048, 1}, {4, 0, 2048, 5}, {100, 0, 40, 31}, {100, 0, 41, 32}, {100, 1, 40, 101},
	} {
		s := &Settings{SYNCookies: test.cookies, MaxSYNBacklog: test.maxBackog}
		equal(t, synKnob(test.backlog, s), maxRequests(test.backlog, s), test.want)
	}
}
