package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// NATRules reads back, from the kernel, what SNAT has set up in the lab.
func (l *Lab) NATRules(_ context.Context) ([]NAT, error) {
	ns, err := os.Open(l.NetnsPath())
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	var all []NAT
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list the NAT's chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name != natTable {
			continue
		}
		rules, err := conn.GetRules(chain.Table, chain)
		if err != nil {
			return nil, fmt.Errorf("read the NAT's rules: %w", err)
		}
		for _, rule := range rules {
			all = append(all, natOf(rule.Exprs))
		}
	}
	return all, nil
}

// natOf is the reverse of NAT.rule.
func natOf(rule []expr.Any) (n NAT) {
	var loaded [4][]byte
	var matched [][]byte
	for _, e := range rule {
		switch e := e.(type) {
		case *expr.Cmp:
			matched = append(matched, e.Data)
		case *expr.Immediate:
			loaded[e.Register%4] = e.Data
		}
	}
	if len(matched) > 0 && len(matched[0]) > 0 {
		n.Protocol = matched[0][0]
	}
	if len(matched) > 1 {
		n.Port = portOf(matched[1])
	}
	n.To, _ = netip.AddrFromSlice(loaded[1])
	n.Low, n.High = portOf(loaded[2]), portOf(loaded[3])
	return n
}

func portOf(data []byte) uint16 {
	if len(data) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(data)
}
