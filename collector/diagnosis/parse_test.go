package diagnosis

import (
	"maps"
	"net/netip"
	"testing"

	"brink/collector"
	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

func TestReleaseIsFrom(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.44-fc-v669": true, "6.8.0": true, "6.8-rc1": true, "7.2.1": true, "10.0": true,
		"6.7.12": false, "5.10.0-28-cloud-amd64": false, "6": false, "": false,
	} {
		if got := releaseIsFrom(release, 6, 8); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

func TestUnitIn(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for content, want := range map[string]string{
		"0::/system.slice/nginx.service\n":                                     "nginx.service",
		"12:pids:/system.slice/ssh.service\n0::/\n":                            "ssh.service",
		"0::/system.slice/docker-" + id + ".scope\n":                           "container 0123456789ab",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service": "x.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                     "",
		"0::/\n":   "",
		"":         "",
		"garbage":  "",
		"0::\n1:a": "",
	} {
		if got := unitIn(content); got != want {
			t.Errorf("%q is %q, not %q", content, got, want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const content = "Name:\tnginx: worker\nState:\tS (sleeping)\nTgid:\t812\nPid:\t815\nPPid:\t1\nUid:\t33\t0\t0\t0\nThreads:\t4\n"
	s, zombie, err := parseStatus(content)
	if want := (Status{PID: 812, Parent: 1, Name: "nginx: worker", UID: 33, Threads: 4}); err != nil || zombie || s != want {
		t.Errorf("%+v %v %v", s, zombie, err)
	}
	s, zombie, err = parseStatus("Name:\ttrue\nState:\tZ (zombie)\nTgid:\t9\nPid:\t9\nPPid:\t8\nUid:\t0\t0\t0\t0\n")
	if err != nil || !zombie || s.Parent != 8 {
		t.Errorf("%+v %v %v", s, zombie, err)
	}
	if _, _, err = parseStatus("Name:\tx\n"); err == nil {
		t.Error("a status of one line was taken")
	}
}

func TestParseMaxTasks(t *testing.T) {
	for line, want := range map[string]uint64{
		"Max processes             100                  200                  processes\n":             100,
		"Max processes             unlimited            unlimited            processes\n":             0,
		"Max open files            7 8 files\nMax processes             5                    5    \n": 5,
		"": 0,
	} {
		if got := parseMaxTasks(line); got != want {
			t.Errorf("%q is %d", line, got)
		}
	}
}

func TestClassify(t *testing.T) {
	counts, inodes := map[string]int{}, 0
	for _, target := range []string{
		"socket:[123]", "socket:[124]", "pipe:[9]", "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:inotify",
		"/dev/null", "/memfd:x (deleted)", "/var/log/socket:[1]", "/a:b", "net:[4026531833]",
	} {
		kind, inode := classify(target)
		counts[kind]++
		if inode != 0 {
			inodes++
		}
	}
	want := map[string]int{"socket": 2, "pipe": 1, "epoll": 1, "eventfd": 1, "inotify": 1, "device": 1, "memfd": 1, "file": 3}
	if !maps.Equal(counts, want) || inodes != 2 {
		t.Errorf("%v, %d inodes", counts, inodes)
	}
}

func TestUnifiedPath(t *testing.T) {
	for content, want := range map[string]string{
		"3:cpu:/a\n0::/b/c\n": "/b/c", "0::/\n": "/", "3:cpu:/a\n": "",
	} {
		if got := unifiedPath(content); got != want {
			t.Errorf("%q is %q", content, got)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		plural(1, "socket"):                               "1 socket",
		plural(2, "process"):                              "2 processes",
		enumerate(nil):                                    "",
		enumerate([]string{"a"}):                          "a",
		either([]string{"a", "b"}):                        "a or b",
		atMost(3, []string{"a", "b", "c", "d"}):           "a, b, c and d",
		atMost(3, []string{"a", "b", "c", "d", "e", "f"}): "a, b, c and 3 more",
		sentence("it is"):                                 "It is.",
		sentence("It is."):                                "It is.",
		who(0, ""):                                        "process 0",
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestInherit: what waits to be accepted has its listener's options, unless
// there are several that differ.
func TestInherit(t *testing.T) {
	at := netip.MustParseAddrPort("0.0.0.0:80")
	socket := func(state collector.State, inode uint32) Holder {
		h := holderOf(sockdiag.Socket{Protocol: unix.IPPROTO_TCP, State: uint8(state), Inode: inode, Local: at})
		if state != collector.Listen {
			h.Peer = netip.MustParseAddrPort("10.0.0.2:5000")
		}
		return h
	}
	listener, waiting, accepted := socket(collector.Listen, 1), socket(collector.Established, 0), socket(collector.Established, 2)
	listener.Options, listener.Unknown = portrule.Options{ReuseAddr: true}, 0
	holders := []Holder{listener, waiting, accepted}
	inherit(holders)
	if holders[1].Unknown != 0 || !holders[1].Options.ReuseAddr || holders[2].Unknown == 0 {
		t.Errorf("%+v", holders)
	}
	other := listener
	other.Options.ReusePort = true
	holders = []Holder{listener, other, waiting}
	inherit(holders)
	if holders[2].Unknown == 0 {
		t.Errorf("%+v", holders[2])
	}
	holders = []Holder{waiting}
	inherit(holders)
	if holders[0].Unknown == 0 {
		t.Error("nothing to inherit from")
	}
}
