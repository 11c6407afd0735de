package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync/atomic"
)

// pairs numbers the veth pairs, so that a lab may have many.
var pairs atomic.Uint32

type linking struct {
	Here, There string // the two ends' names
	PID         int    // a process in the other end's namespace
}

var (
	makePair = define("make a veth pair", (*inside).makePair)
	linkUp   = define("bring a link up", (*inside).linkUp)
)

// Link joins two labs by a veth pair with an address at each end. The prefixes
// are their routes to each other: give both the same network. The link goes
// with the first of the two labs that ends. Without root the two must share a
// user namespace: see Options.Beside.
func (l *Lab) Link(ctx context.Context, other *Lab, here, there netip.Prefix) error {
	if here.Masked() != there.Masked() || l == other {
		return fmt.Errorf("link two labs by %v and %v: the addresses must be of one network and the labs two", here, there)
	}
	name := fmt.Sprintf("veth%d", pairs.Add(1))
	pair := linking{Here: name, There: name, PID: other.PID()}
	if _, err := makePair.call(ctx, l.holder.control, pair); err != nil {
		return err
	}
	if err := l.raise(ctx, name, here); err != nil {
		return err
	}
	return other.raise(ctx, name, there)
}

func (l *Lab) raise(ctx context.Context, name string, p netip.Prefix) error {
	if err := l.withoutDAD(ctx, name); err != nil {
		return err
	}
	if _, err := linkUp.call(ctx, l.holder.control, name); err != nil {
		return err
	}
	_, err := addAddress.call(ctx, l.holder.control, addressing{Interface: name, Prefix: p})
	return err
}

// withoutDAD makes the link-local address usable at once, too: a router asks
// for its neighbours from there (ndisc_send_ns), so the first forwarded packet
// would wait for duplicate address detection, two seconds. The larger of "all"
// and the interface's own value counts.
func (l *Lab) withoutDAD(ctx context.Context, name string) error {
	for _, scope := range []string{"all", name} {
		err := l.SetSysctl(ctx, "net.ipv6.conf."+scope+".accept_dad", "0")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // this kernel may have no IPv6
			return err
		}
	}
	return nil
}
