package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"brink/collector/memory"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// udpAt asks the kernel which UDP sockets of the lab hold a port (udp_diag): no
// hook tells of a datagram socket's life, and none is needed while it is open.
func (b *Bench) udpAt(port uint16) ([]sockdiag.Socket, error) {
	sockets, err := sockdiag.Dump(sockdiag.Query{
		NetnsPath: b.Lab.NetnsPath(), Protocol: unix.IPPROTO_UDP, LocalPort: port,
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, skipf("the kernel cannot list UDP sockets (CONFIG_INET_UDP_DIAG): %v", err)
	}
	return sockets, err
}

// differentPeers counts the peers that connected sockets have; one with two
// sockets counts once, and a socket without a peer not at all.
func differentPeers(sockets []sockdiag.Socket) int {
	peers := map[netip.AddrPort]bool{}
	for _, s := range sockets {
		if s.State == udpConnected {
			peers[s.Peer] = true
		}
	}
	return len(peers)
}

// udpConnected is TCP_ESTABLISHED, which UDP uses for the same (__ip4_datagram_connect).
const udpConnected = 1

// eachItsOwn wants one datagram at every socket: from the sender that it is to
// hear of, and saying what that one was to say.
func eachItsOwn(heard []udpHeard, from func(udpHeard) netip.AddrPort, said func(udpHeard) netip.AddrPort) (served int, problem string) {
	for _, h := range heard {
		if len(h.Said) != 1 || h.From[0] != from(h) || h.Said[0] != said(h).String() {
			problem = fmt.Sprintf("%s was to hear %s from %s, and heard %v from %v", h.Local, said(h), from(h), h.Said, h.From)
			continue
		}
		served++
	}
	return served, problem
}

func always(at netip.AddrPort) func(udpHeard) netip.AddrPort {
	return func(udpHeard) netip.AddrPort { return at }
}

func ownAddress(h udpHeard) netip.AddrPort { return h.Local }

func peerOf(h udpHeard) netip.AddrPort { return h.Peer }

// udpPair starts a server and a client, which has so many sockets with a port
// of their own.
func (b *Bench) udpPair(ctx context.Context, f Family, clients int) ([]netip.AddrPort, error) {
	if err := b.addAddresses(ctx, f, 1); err != nil {
		return nil, err
	}
	if err := b.pair(ctx); err != nil || clients == 0 {
		return nil, err
	}
	opened, err := openUDP.Run(ctx, b.Client, udpWanted{At: []netip.AddrPort{f.at(1, 0)}, Repeat: clients})
	if err == nil && opened.Errno != 0 {
		err = fmt.Errorf("bind the peers' sockets: %w", opened.Errno)
	}
	return opened.Locals, err
}

// connectUDP gives each client a socket of its own on the server's port, and
// says what these heard once every client has spoken to the port.
func (b *Bench) connectUDP(ctx context.Context, at netip.AddrPort, option string, clients []netip.AddrPort) ([]udpHeard, error) {
	opened, err := openUDP.Run(ctx, b.Server, udpWanted{
		At: slices.Repeat([]netip.AddrPort{at}, len(clients)), To: clients,
		ReuseAddr: option == "SO_REUSEADDR", ReusePort: option == "SO_REUSEPORT",
	})
	if err == nil && opened.Errno != 0 {
		err = fmt.Errorf("bind one more socket with %s to %s: %w", option, at, opened.Errno)
	}
	if err != nil {
		return nil, err
	}
	if _, err := sayUDP.Run(ctx, b.Client, udpSaying{To: at}); err != nil {
		return nil, err
	}
	return hearUDP.Run(ctx, b.Server, struct{}{})
}

// udpAtOnce datagrams fit into a receive buffer: each takes less than 1 KiB of
// the 208 KiB that net.core.rmem_default is.
const udpAtOnce = 50

// askUDP has the server's one socket answer all clients.
func (b *Bench) askUDP(ctx context.Context, at netip.AddrPort, clients int) error {
	for first := 0; first < clients; first += udpAtOnce {
		n := min(udpAtOnce, clients-first)
		if _, err := sayUDP.Run(ctx, b.Client, udpSaying{To: at, First: first, Count: n}); err != nil {
			return err
		}
		if _, err := answerUDP.Run(ctx, b.Server, n); err != nil {
			return err
		}
	}
	return nil
}

// pushUDP opens sockets until bind() refuses, and notes what the kernel then
// lists of that port (0: of all).
func (b *Bench) pushUDP(ctx context.Context, w udpWanted, port uint16) (Measurement, error) {
	opened, err := openUDP.Run(ctx, b.Server, w)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: len(opened.Locals), Errno: opened.Errno}
	if opened.Errno != 0 {
		m.Refusals = 1
	}
	return m, b.noteUDP(port)
}

// The notes of noteUDP.
const (
	udpSocketsNote = "UDP sockets"
	udpPeersNote   = "UDP sockets' peers"
)

func (b *Bench) noteUDP(port uint16) error {
	sockets, err := b.udpAt(port)
	b.note(udpSocketsNote, len(sockets))
	b.note(udpPeersNote, differentPeers(sockets))
	return err
}

// udpSocketsAre holds the kernel's own list against what was opened.
func udpSocketsAre(sockets, peers int) func(*Bench, Measurement, memory.Evidence) string {
	return func(b *Bench, _ Measurement, _ memory.Evidence) string {
		if n, p := b.Notes[udpSocketsNote], b.Notes[udpPeersNote]; n != sockets || p != peers {
			return fmt.Sprintf("%d UDP sockets with %d peers were to hold the port, the kernel lists %d with %d", sockets, peers, n, p)
		}
		return ""
	}
}

func udpSocketsAreMeasured(b *Bench, m Measurement, e memory.Evidence) string {
	return udpSocketsAre(m.Value, 0)(b, m, e)
}
