package sockdiag

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Held is a socket with who has it open and its options.
type Held struct {
	Socket
	Process
	Options
}

// ErrTooMany: there are more sockets than Bound looks at. What it found until
// then is still true.
var ErrTooMany = errors.New("more sockets than are looked at")

// maxLooked bounds Bound: a copy of a descriptor takes microseconds.
const maxLooked = 4096

// Bound finds the TCP sockets that hold a port and have neither listened nor
// connected, in the namespace that the path leads to (empty: this process's
// own): those that sock_diag lists since 6.8 (91051f003948). It looks through
// the open sockets of the processes that live there. Port 0 is any port.
func Bound(netnsPath string, port uint16) ([]Held, error) {
	if netnsPath == "" {
		netnsPath = ownNetns
	}
	netns, err := netnsInode(netnsPath)
	if err != nil {
		return nil, fmt.Errorf("find network namespace: %w", err)
	}
	// Connections and listeners need not be looked at: sock_diag lists them.
	listed, err := Dump(Query{NetnsPath: netnsPath, States: allStates &^ (1 << boundInactive)})
	if err != nil {
		return nil, err
	}
	s := search{netns: netns, port: port, seen: make(map[uint32]bool, len(listed))}
	for _, socket := range listed {
		s.seen[socket.Inode] = true
	}
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range directories {
		if isNetns(dir+"/ns/net", netns) {
			err = errors.Join(err, s.process(dir))
		}
	}
	return s.found, err
}

type search struct {
	netns uint32
	port  uint16
	seen  map[uint32]bool // by inode
	asked int
	found []Held
}

func (s *search) process(dir string) error {
	pid, err := strconv.ParseUint(filepath.Base(dir), 10, 32)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return nil // it ended meanwhile, or is not ours to see
	}
	for _, e := range entries {
		inode, ok := SocketInode(filepath.Join(dir, "fd", e.Name()))
		if !ok || s.seen[inode] {
			continue
		}
		if s.asked >= maxLooked {
			return ErrTooMany
		}
		s.asked++
		fd, _ := strconv.Atoi(e.Name())
		s.seen[inode] = s.look(Process{PID: uint32(pid), FD: fd}, inode)
	}
	return nil
}

// look reports whether the socket could be asked: if not, another process that
// has it open may be.
func (s *search) look(p Process, inode uint32) bool {
	fd, err := copyOf(p.PID, p.FD)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !isBoundOnly(fd) || !isIn(fd, s.netns) {
		return true
	}
	held, err := held(fd, p, inode)
	if err == nil && held.Local.Port() != 0 && (s.port == 0 || held.Local.Port() == s.port) {
		s.found = append(s.found, held)
	}
	return true
}

// isBoundOnly: a TCP socket that has never sent a segment and does not listen.
// One that has been connected may still name a port that it has lost.
func isBoundOnly(fd int) bool {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol != unix.IPPROTO_TCP {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == closed && info.Segs_out == 0 && info.Segs_in == 0
}

// isIn reports whether the socket belongs to the namespace: a process may keep
// one that it made elsewhere. To ask takes CAP_NET_ADMIN there; without it the
// process's namespace is taken for the socket's.
func isIn(fd int, netns uint32) bool {
	ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return true
	}
	defer unix.Close(ns)
	var stat unix.Stat_t
	return unix.Fstat(ns, &stat) == nil && uint32(stat.Ino) == netns
}

func held(fd int, p Process, inode uint32) (h Held, err error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return h, fmt.Errorf("ask socket for its name: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return h, fmt.Errorf("stat socket: %w", err)
	}
	if h.Options, err = optionsOf(fd); err != nil {
		return h, err
	}
	h.Process = p
	h.Name = comm(p.PID)
	h.Socket = Socket{
		Protocol: unix.IPPROTO_TCP, State: boundInactive, Local: addrPort(name), Inode: inode, UID: stat.Uid,
		Interface: h.Device, V6OnlyKnown: true,
	}
	h.Socket.V6Only = h.Options.V6Only
	return h, nil
}

func addrPort(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
