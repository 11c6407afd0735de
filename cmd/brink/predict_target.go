package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// target is where the predicted connections go, and where from.
type target struct {
	to     netip.AddrPort // zero: any one destination
	source netip.Addr     // that the route to it has
	// here says that the destination is this host too, which then has both ends.
	here bool
}

// findTarget asks the routes which source address connect() would take: a UDP
// socket's connect() looks it up likewise, and sends nothing.
func findTarget(to netip.AddrPort) (target, error) {
	if !to.IsValid() {
		return target{}, nil
	}
	probe, err := net.Dial("udp", to.String())
	if err != nil {
		return target{}, fmt.Errorf("find the way from this host to %s: %w (ip route get %s shows what the kernel says)",
			to.Addr(), reason(err), to.Addr().WithZone(""))
	}
	defer probe.Close()
	source := probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	here, err := isOwn(to.Addr())
	return target{to: to, source: source, here: here || source == to.Addr()}, err
}

// reason is the errno alone: Go's error repeats the addresses.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// isOwn reports whether the address is one of this network namespace's.
func isOwn(a netip.Addr) (bool, error) {
	if a.IsLoopback() {
		return true, nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("list this host's addresses: %w", err)
	}
	for _, address := range own {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && prefix.Addr() == a.WithZone("") {
			return true, nil
		}
	}
	return false, nil
}

// ends is how many of a connection's two ends are on this host.
func (t *target) ends() uint64 {
	if t.here {
		return 2
	}
	return 1
}

// reusesOnLoopback: what tcp_tw_reuse = 2 takes for loopback is an address of
// 127.0.0.0/8 or ::1, not any other of the host's own (tcp_twsk_unique).
func (t *target) reusesOnLoopback() bool {
	return t.source.IsLoopback() || t.to.Addr().IsLoopback()
}

// String names both ends.
func (t *target) String() string {
	if !t.to.IsValid() {
		return "this host to any one destination"
	}
	return fmt.Sprintf("%s to %s", t.source, t.to)
}
