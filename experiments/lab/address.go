package lab

import (
	"context"
	"fmt"
	"net/netip"
)

type addressing struct {
	Interface string
	Prefix    netip.Prefix
}

type routing struct {
	To  netip.Prefix
	Via netip.Addr
}

var (
	addAddress = define("add an address", (*inside).addAddress)
	addRoute   = define("add a route", (*inside).addRoute)
)

// AddAddress gives loopback another address, usable at once: IPv6's duplicate
// address detection is left out (IFA_F_NODAD). Of an IPv4 prefix on loopback
// every address becomes local, of an IPv6 one only the address itself.
func (l *Lab) AddAddress(ctx context.Context, p netip.Prefix) error {
	if !p.IsValid() {
		return fmt.Errorf("add an address to a lab: %v is no address with a prefix length", p)
	}
	_, err := addAddress.call(ctx, l.holder.control, addressing{Interface: "lo", Prefix: p})
	return err
}

// AddRoute sends what goes to a prefix by way of a neighbour, for labs that
// are more than one [Lab.Link] apart. The lab between forwards once its
// net.ipv4.ip_forward or net.ipv6.conf.all.forwarding is 1.
func (l *Lab) AddRoute(ctx context.Context, to netip.Prefix, via netip.Addr) error {
	if !to.IsValid() || to.Addr().Is4() != via.Is4() {
		return fmt.Errorf("add a route to %v by way of %v: both must be addresses of one family", to, via)
	}
	_, err := addRoute.call(ctx, l.holder.control, routing{To: to.Masked(), Via: via})
	return err
}
