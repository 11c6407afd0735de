package diagnosis

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"brink/collector"
	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// mostAsked is how many sockets are asked for their options: a port may have a
// hundred thousand connections. Those without a peer go first.
const mostAsked = 256

// readHolders finds all sockets with a local port, TCP and UDP. What could not
// be looked at is told in sentences.
func readHolders(n Namespace, port uint16) (holders []Holder, unread []string, err error) {
	sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path, LocalPort: port})
	if err != nil {
		return nil, nil, err
	}
	udp, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path, LocalPort: port, Protocol: unix.IPPROTO_UDP})
	if err != nil {
		unread = append(unread, fmt.Sprintf("whether a UDP socket holds the port could not be read: %v", err))
	}
	for _, s := range append(sockets, udp...) {
		if !isRequest(s) {
			holders = append(holders, holderOf(s))
		}
	}
	slices.SortStableFunc(holders, func(a, b Holder) int { return cmp.Compare(a.precedence(), b.precedence()) })
	identify(holders)
	if !listsBound() {
		bound, why := readBound(n, port)
		holders, unread = append(bound, holders...), append(unread, why...)
	}
	for i := range holders {
		if h := &holders[i]; h.open() && h.Process.PID != 0 {
			h.Unit = unitOf(h.Process.PID)
		}
	}
	return holders, unread, nil
}

// isRequest: a handshake under way is in no table of ports.
func isRequest(s sockdiag.Socket) bool {
	return s.Protocol != unix.IPPROTO_UDP && collector.State(s.State) == collector.SynRecv && s.Inode == 0
}

// holderOf is as much as sock_diag tells: neither SO_REUSEADDR nor SO_REUSEPORT.
func holderOf(s sockdiag.Socket) Holder {
	h := Holder{
		Socket:  s,
		Unknown: portrule.ReuseAddr | portrule.ReusePort,
		Options: portrule.Options{V6Only: s.V6Only, Device: s.Interface},
	}
	if s.Local.Addr().Is6() && !s.V6OnlyKnown {
		h.Unknown |= portrule.V6Only
	}
	return h
}

func (h *Holder) precedence() int {
	switch {
	case h.listens():
		return 0
	case h.open():
		return 1
	case h.TimeWait:
		return 3
	}
	return 2
}

// identify finds the processes, by one walk over /proc, and asks the sockets.
func identify(holders []Holder) {
	inodes := map[uint32]bool{}
	for i := range holders {
		if holders[i].Inode != 0 {
			inodes[holders[i].Inode] = true
		}
	}
	owners := sockdiag.Owners(inodes)
	for i := range holders {
		h := &holders[i]
		h.Process = owners[h.Inode]
		if h.Process.PID == 0 || i >= mostAsked {
			continue
		}
		if options, err := sockdiag.OptionsOf(h.Process, h.Inode); err == nil {
			h.Options, h.Unknown = portrule.Options(options), 0
		}
	}
	inherit(holders)
}

// inherit gives a connection that waits to be accepted, which no process can be
// asked about, the options of the listener that it was cloned from
// (inet_csk_clone_lock): if all listeners of the port have the same.
func inherit(holders []Holder) {
	var from *Holder
	for i := range holders {
		h := &holders[i]
		if !h.listens() {
			continue
		}
		if h.Unknown != 0 || from != nil && from.Options != h.Options {
			return
		}
		from = h
	}
	for i := range holders {
		if h := &holders[i]; from != nil && h.waitsForAccept() {
			h.Options, h.Unknown = from.Options, 0
		}
	}
}

// listsBound reports whether sock_diag lists sockets that are bound and nothing
// else: from 6.8 on (91051f003948).
func listsBound() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	return releaseIsFrom(unix.ByteSliceToString(u.Release[:]), 6, 8)
}

func releaseIsFrom(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	a, _ := strconv.Atoi(first)
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	b, _ := strconv.Atoi(digits)
	return a > major || a == major && b >= minor
}

// readBound is for older kernels, where only the sockets themselves know.
func readBound(n Namespace, port uint16) (holders []Holder, unread []string) {
	found, err := sockdiag.Bound(n.Path, port) // what it found before it failed is true
	for _, b := range found {
		holders = append(holders, Holder{Socket: b.Socket, Process: b.Process, Options: portrule.Options(b.Options)})
	}
	switch {
	case err != nil:
		unread = append(unread, fmt.Sprintf("not all sockets could be asked whether they are bound to the port and do not listen: %v", err))
	case os.Geteuid() != 0:
		unread = append(unread, "before Linux 6.8 only root sees sockets that are bound to a port and do not listen (try sudo)")
	}
	return holders, unread
}

// PortInUse reports whether any socket of the namespace has the local port.
func PortInUse(n Namespace, port uint16) bool {
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path, LocalPort: port, Protocol: protocol})
		if err == nil && slices.ContainsFunc(sockets, func(s sockdiag.Socket) bool { return !isRequest(s) }) {
			return true
		}
	}
	if listsBound() {
		return false
	}
	bound, _ := readBound(n, port)
	return len(bound) > 0
}

// unitOf is what runs a process, as its cgroup is named: a service of systemd or
// a container.
func unitOf(pid uint32) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	return unitIn(string(content))
}

// unitIn reads /proc/PID/cgroup. In a namespace of cgroups the paths are cut
// short, and nothing is known.
func unitIn(content string) string {
	for line := range strings.Lines(content) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		if id := collector.ContainerID(fields[2]); id != "" {
			return "container " + id[:12]
		}
		if unit := fields[2][strings.LastIndexByte(fields[2], '/')+1:]; strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}

// isAbsent: the process or the namespace went away.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}
