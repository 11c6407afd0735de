package lab

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Track begins connection tracking in the lab, IPv4 and IPv6, as any firewall
// rule that looks at a connection's state does (4.10: nf_ct_netns_get); it drops
// nothing. Only then is there a table to fill.
func (l *Lab) Track(_ context.Context) error {
	ns, err := os.Open(l.NetnsPath())
	if err != nil {
		return err
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := conn.AddTable(&nftables.Table{Family: family, Name: "brink-track"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "output", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
		})
		conn.AddRule(&nftables.Rule{
			Table: table, Chain: chain, Exprs: []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1}},
		})
	}
	if err := conn.Flush(); err != nil {
		return errors.Join(errors.New("track connections by an nftables rule (are nf_conntrack and nft_ct there?)"), err)
	}
	return nil
}
