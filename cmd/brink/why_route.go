package main

import (
	"errors"
	"net"
	"net/netip"

	"brink/collector/diagnosis"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// whyRoute finds the way to a destination from inside a network namespace. That
// there is none is no error: it is the diagnosis.
func whyRoute(n diagnosis.Namespace, to netip.AddrPort) (way diagnosis.Way, err error) {
	err = n.Inside(func() error {
		t, failed := findTarget(to)
		var errno unix.Errno
		if errors.As(failed, &errno) {
			way.Err = errno
			return nil
		}
		if failed != nil {
			return failed
		}
		way.Source, way.Local = t.source, t.here
		whyHop(&way, to.Addr())
		return nil
	})
	return way, err
}

// whyHop adds the interface and the gateway, where the kernel tells them
// (RTM_GETROUTE, as ip route get).
func whyHop(way *diagnosis.Way, to netip.Addr) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return
	}
	defer conn.Close()
	request := rtnetlink.RouteMessage{
		Family: unix.AF_INET6, DstLength: uint8(to.BitLen()),
		Attributes: rtnetlink.RouteAttributes{Dst: net.IP(to.AsSlice())},
	}
	if to.Is4() {
		request.Family = unix.AF_INET
	}
	routes, err := conn.Route.Get(&request)
	if err != nil || len(routes) == 0 {
		return
	}
	if device, err := net.InterfaceByIndex(int(routes[0].Attributes.OutIface)); err == nil {
		way.Interface = device.Name
	}
	if gateway, ok := netip.AddrFromSlice(routes[0].Attributes.Gateway); ok {
		way.Gateway = gateway.Unmap()
	}
}

// netAddrWithoutZone: the kernel's sockets are told without an interface.
func netAddrWithoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}
