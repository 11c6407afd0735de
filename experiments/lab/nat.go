package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// NAT says whose source is translated, and to what.
type NAT struct {
	Protocol uint8  // unix.IPPROTO_TCP or IPPROTO_UDP
	Port     uint16 // of the destination; 0: any
	// To is the source address that they get, and Low to High, both included,
	// the pool of ports.
	To        netip.Addr
	Low, High uint16
}

// natTable is where SNAT's rules are.
const natTable = "brink"

// SNAT translates the source of connections that leave the lab, on loopback too,
// with an nftables rule of its own. It begins connection tracking in the lab.
func (l *Lab) SNAT(_ context.Context, n NAT) error {
	ns, err := os.Open(l.NetnsPath())
	if err != nil {
		return err
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: n.tableFamily(), Name: natTable})
	chain := conn.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: n.rule()})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add a NAT rule: %w", err)
	}
	return nil
}

func (n NAT) tableFamily() nftables.TableFamily {
	if n.To.Is4() {
		return nftables.TableFamilyIPv4
	}
	return nftables.TableFamilyIPv6
}

// rule is `meta l4proto P th dport PORT snat to TO:LOW-HIGH`, or that without the
// port.
func (n NAT) rule() []expr.Any {
	matches := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{n.Protocol}},
	}
	if n.Port != 0 {
		matches = append(matches,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bigEndian(n.Port)})
	}
	return append(matches, n.translation()...)
}

func (n NAT) translation() []expr.Any {
	family := uint32(unix.NFPROTO_IPV6)
	if n.To.Is4() {
		family = unix.NFPROTO_IPV4
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: n.To.AsSlice()},
		&expr.Immediate{Register: 2, Data: bigEndian(n.Low)},
		&expr.Immediate{Register: 3, Data: bigEndian(n.High)},
		&expr.NAT{
			Type: expr.NATTypeSourceNAT, Family: family,
			RegAddrMin: 1, RegProtoMin: 2, RegProtoMax: 3, Specified: true,
		},
	}
}

func bigEndian(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }
