package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/diagnosis"
	"brink/collector/limits"
	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// TestWhyGolden: the whole of what is said, of one subject of each kind.
func TestWhyGolden(t *testing.T) {
	for name, d := range map[string]*diagnosis.Diagnosis{
		"port": whyGoldenPort(t).Diagnose(), "process": whyGoldenProcess(t).Diagnose(),
		"destination": whyGoldenDestination().Diagnose(), "without-route": whyGoldenUnreachable().Diagnose(),
	} {
		var text, lines bytes.Buffer
		if err := whyText(&text, d); err != nil {
			t.Fatal(err)
		}
		if err := whyJSON(&lines, d); err != nil {
			t.Fatal(err)
		}
		readWhy(t, lines.Bytes())
		compareWhy(t, name+".txt", text.Bytes())
		compareWhy(t, name+".jsonl", lines.Bytes())
		for line := range strings.Lines(text.String()) {
			if len([]rune(strings.TrimSuffix(line, "\n"))) > sentenceWidth {
				t.Errorf("%s: too long: %s", name, line)
			}
		}
	}
}

func compareWhy(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata/why", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must[[]byte](t)(os.ReadFile(file)); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func whySocket(state collector.State, inode uint32, local, peer string) sockdiag.Socket {
	s := sockdiag.Socket{Protocol: unix.IPPROTO_TCP, State: uint8(state), Inode: inode, Local: netip.MustParseAddrPort(local)}
	if peer != "" {
		s.Peer = netip.MustParseAddrPort(peer)
	}
	s.TimeWait = state == collector.TimeWaitState
	return s
}

var whySettings = limits.Settings{
	Ports: &limits.PortRange{Low: 32768, High: 60999}, Somaxconn: 4096, TimeWaitReuse: 2, MaxConntrack: 1000, Conntrack: 750,
}

// whyWatched: a second and a half, in which three processes met something.
func whyWatched(t *testing.T) diagnosis.Watched {
	t.Helper()
	r := diagnosis.Refusals{Netns: 5}
	nginx, curl, python := whyOwner(812, "nginx"), whyOwner(901, "curl"), whyOwner(77, "python3")
	at, to := netip.MustParseAddrPort("0.0.0.0:8080"), netip.MustParseAddrPort("192.0.2.7:443")
	for range 3 {
		r.Accept(&collector.LimitHit{Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Role: collector.RoleClient, Peer: to, Used: 28232, Max: 28232, Count: 4, Netns: 5, Owner: curl})
		r.Accept(&collector.LimitHit{Limit: limits.FileDescriptors, Errno: unix.EMFILE, Max: 64, Count: 1, Netns: 5, Owner: nginx})
		r.Accept(&collector.LimitHit{Limit: limits.FileDescriptors, Errno: unix.EMFILE, Count: 1, Netns: 6, Owner: nginx})
	}
	r.Accept(&collector.Connection{Role: collector.RoleClient, Errno: unix.EADDRNOTAVAIL, Failure: collector.NoPort, Peer: to, Netns: 5, Owner: curl})
	r.Accept(&collector.Connection{Role: collector.RoleClient, Errno: unix.ETIMEDOUT, Failure: collector.SYNTimeout, Peer: to, Netns: 5, Owner: curl})
	r.Accept(&collector.LimitHit{Limit: limits.AcceptQueue, Outcome: collector.Dropped, Role: collector.RoleServer, Local: at, Used: 513, Max: 513, Count: 9, Netns: 5})
	r.Accept(&collector.LimitHit{Limit: limits.SYNQueue, Outcome: collector.SYNCookie, Role: collector.RoleServer, Count: 2, Netns: 5})
	r.Accept(&collector.ConnectFailures{Failure: collector.Refused, Errno: unix.ECONNREFUSED, Count: 500, Netns: 5, Owner: curl})
	r.Accept(&collector.BindConflict{Errno: unix.EADDRINUSE, Local: at, Netns: 5, Owner: python, Holders: []collector.Holder{{
		PID: 812, Name: "nginx", State: collector.Listen, Local: at, Rule: portrule.HolderListens}}})
	if got := len(r.All()); got != 7 {
		t.Errorf("%d kinds of refusal: %+v", got, r.All())
	}
	return diagnosis.Watched{For: 1500 * time.Millisecond, By: "19 hooks by fentry", Refusals: r.All(), Lost: 2}
}

func whyOwner(pid uint32, name string) (o collector.Owner) {
	o.PID = pid
	copy(o.Comm[:], name)
	return o
}

func whyGoldenPort(t *testing.T) *diagnosis.Port {
	nginx, curl := sockdiag.Process{PID: 812, Name: "nginx"}, sockdiag.Process{PID: 901, Name: "curl"}
	listener := whySocket(collector.Listen, 1, "0.0.0.0:8080", "")
	listener.ReceiveQueue, listener.SendQueue = 513, 512
	udp := whySocket(collector.Closed, 2, "[::]:8080", "")
	udp.Protocol = unix.IPPROTO_UDP
	reuse := portrule.Options{ReuseAddr: true}
	return &diagnosis.Port{
		Number: 8080, Netns: 5, Settings: whySettings, Unprivileged: 1024,
		Holders: []diagnosis.Holder{
			{Socket: listener, Process: nginx, Options: reuse, Unit: "nginx.service"},
			{Socket: whySocket(collector.BoundInactive, 9, "127.0.0.9:8080", ""), Unknown: portrule.ReuseAddr | portrule.ReusePort},
			{Socket: udp, Process: sockdiag.Process{PID: 900, Name: "dnsmasq"}, Unit: "container 0123456789ab"},
			{Socket: whySocket(collector.Established, 3, "10.0.0.1:8080", "10.0.0.2:50000"), Process: nginx, Options: reuse},
			{Socket: whySocket(collector.CloseWait, 4, "10.0.0.1:8080", "10.0.0.2:50001"), Process: nginx, Options: reuse},
			{Socket: whySocket(collector.Established, 5, "10.0.0.1:8080", "10.0.0.3:443"), Process: curl},
			{Socket: whySocket(collector.Established, 0, "10.0.0.1:8080", "10.0.0.2:50002"), Options: reuse},
			{Socket: whySocket(collector.TimeWaitState, 0, "10.0.0.1:8080", "10.0.0.2:50003"), Unknown: portrule.ReuseAddr | portrule.ReusePort},
		},
		Descriptors: []limits.Reading{{Limit: limits.FileDescriptors, PID: 812, Process: "nginx", Used: 64, Max: 64, Knob: "RLIMIT_NOFILE = 64", Source: "/proc/812/fd"}},
		Elsewhere:   []diagnosis.Other{{Netns: 6, Holders: []diagnosis.Holder{{Socket: listener, Process: sockdiag.Process{PID: 5000, Name: "envoy"}}}}},
		Watched:     whyWatched(t),
		Unread:      []string{"Something could not be read."},
	}
}

func whyGoldenProcess(t *testing.T) *diagnosis.Process {
	listener := whySocket(collector.Listen, 1, "0.0.0.0:8080", "")
	listener.ReceiveQueue, listener.SendQueue = 513, 512
	p := &diagnosis.Process{
		Status: diagnosis.Status{PID: 812, Name: "nginx", Threads: 4, UID: 33}, Netns: 5, Unit: "nginx.service", Seen: true, Somaxconn: 4096,
		Descriptors: limits.Reading{Limit: limits.FileDescriptors, PID: 812, Process: "nginx", Used: 60, Max: 64, Knob: "RLIMIT_NOFILE = 64, hard limit 524288", Source: "/proc/812/fd"},
		Kinds:       []diagnosis.Share{{Kind: "socket", Count: 40}, {Kind: "file", Count: 18}, {Kind: "epoll", Count: 1}, {Kind: "pipe", Count: 1}}, Looked: 60,
		Tasks:        []limits.Reading{{Limit: limits.Threads, UID: 33, Used: 90, Max: 100, Knob: "RLIMIT_NPROC = 100", Source: "/proc/*/status"}},
		TCP:          []sockdiag.Socket{listener, whySocket(collector.SynSent, 7, "10.0.0.1:40000", "192.0.2.7:443")},
		Destinations: []limits.Reading{{Limit: limits.EphemeralPorts, Transport: "tcp", Local: netip.MustParseAddrPort("10.0.0.1:0"), Peer: netip.MustParseAddrPort("192.0.2.7:443"), Used: 20000, Max: 28232, Note: "9 of them in TIME_WAIT", Knob: "net.ipv4.ip_local_port_range = 32768 60999", Source: "sock_diag"}},
		Watched:      whyWatched(t),
	}
	for range 12 {
		p.TCP = append(p.TCP, whySocket(collector.CloseWait, 8, "10.0.0.1:8080", "10.0.0.2:50000"))
	}
	return p
}

func whyGoldenDestination() *diagnosis.Destination {
	d := &diagnosis.Destination{
		To: netip.MustParseAddrPort("192.0.2.7:443"), Netns: 5, Settings: whySettings, Timestamps: true, ReuseDelay: 1000,
		Route: diagnosis.Way{
			Source: netip.MustParseAddr("10.0.0.1"), Interface: "eth0", Gateway: netip.MustParseAddr("10.0.0.254"),
		},
		Towards: limits.Use{Used: 28232, Max: 28232, TimeWait: 20000}, Held: limits.Use{Used: 28000, Max: 28232},
		Standing: map[collector.State]int{collector.Established: 8230, collector.SynSent: 2, collector.TimeWaitState: 20000},
		Watched:  diagnosis.Watched{WhyNot: "What has just been refused was not watched (--duration 0)."},
	}
	return d
}

func whyGoldenUnreachable() *diagnosis.Destination {
	return &diagnosis.Destination{
		To: netip.MustParseAddrPort("[2001:db8::7]:443"), Netns: 5, Route: diagnosis.Way{Err: unix.ENETUNREACH},
		Watched: diagnosis.Watched{For: time.Second, By: "19 hooks by fentry"},
	}
}
