package limits

import (
	"fmt"
	"net/netip"
	"testing"

	"brink/collector/sockdiag"
)

const established = 1

func socket(state uint8, local, peer string) sockdiag.Socket {
	s := sockdiag.Socket{State: state, Local: netip.MustParseAddrPort(local)}
	if peer != "" {
		s.Peer = netip.MustParseAddrPort(peer)
	}
	return s
}

func TestTowards(t *testing.T) {
	p := CountPorts(ports(t, "40000 40099", "40000-40009"), []sockdiag.Socket{
		socket(established, "10.0.0.1:40010", "10.0.0.2:443"),
		socket(timeWait, "10.0.0.1:40011", "10.0.0.2:443"),
		socket(established, "10.0.0.1:40010", "10.0.0.2:80"),   // a port is shared between destinations
		socket(established, "10.0.0.3:40010", "10.0.0.2:443"),  // and between sources
		socket(established, "10.0.0.1:40000", "10.0.0.2:443"),  // reserved: somebody bound it
		socket(established, "10.0.0.1:50000", "10.0.0.2:443"),  // out of range: likewise
		socket(established, "10.0.0.1:40050", "10.0.0.9:1234"), // accepted
		socket(listening, "0.0.0.0:40050", ""),
		socket(listening, "[::1]:40051", ""),        // takes the port from IPv4, too
		socket(boundInactive, "10.0.0.7:40052", ""), // at another address, too
		socket(listening, "0.0.0.0:80", ""),         // not in the range: takes nothing from it
		socket(established, "[fd00::1]:40060", "[fd00::2]:443"),
	})
	for _, test := range []struct {
		from, to string
		want     Use
	}{
		{"10.0.0.1", "10.0.0.2:443", Use{Used: 2, Max: 87, TimeWait: 1}},
		{"10.0.0.1", "10.0.0.2:80", Use{Used: 1, Max: 87}},
		{"10.0.0.3", "10.0.0.2:443", Use{Used: 1, Max: 87}},
		{"10.0.0.1", "10.0.0.9:1234", Use{Used: 0, Max: 87}},
		{"fd00::1", "[fd00::2]:443", Use{Used: 1, Max: 87}},
	} {
		got := p.Towards(netip.MustParseAddr(test.from), netip.MustParseAddrPort(test.to))
		equal(t, test.from+" to "+test.to, got, test.want)
	}
}

// What is bound may be told after the clients. Whose port it shares is then
// counted once more, as if it had been told before.
func TestLockAfterClients(t *testing.T) {
	clients := []sockdiag.Socket{
		socket(established, "10.0.0.1:40010", "10.0.0.2:443"),
		socket(established, "10.0.0.1:40011", "10.0.0.2:443"),
	}
	from, to := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddrPort("10.0.0.2:443")
	for _, test := range []struct {
		port        string
		again       bool
		used, above int
	}{{"40010", true, 1, 99}, {"40012", false, 2, 99}, {"80", false, 2, 100}} {
		late := []sockdiag.Socket{socket(boundInactive, "10.0.0.1:"+test.port, "")}
		p := CountPorts(ports(t, "40000 40099", ""), clients)
		equal(t, test.port+": again", p.lockAll(late), test.again)
		if test.again {
			for i := range clients {
				p.count(&clients[i])
			}
		}
		want := CountPorts(p.Range, append(late, clients...))
		equal(t, test.port+": towards", p.Towards(from, to), Use{Used: test.used, Max: test.above})
		equal(t, test.port+": as if told first", p.Towards(from, to), want.Towards(from, to))
		equal(t, test.port+": held", p.Held(from), want.Held(from))
	}
}

func TestHeld(t *testing.T) {
	p := CountPorts(ports(t, "40000 40099", "40000-40009"), []sockdiag.Socket{
		socket(boundInactive, "10.0.0.1:40010", ""),
		socket(established, "10.0.0.1:40011", "10.0.0.2:443"),
		socket(timeWait, "10.0.0.1:40011", "10.0.0.2:80"), // the same port
		socket(established, "10.0.0.3:40012", "10.0.0.2:80"),
		socket(listening, "0.0.0.0:40013", ""),
		socket(listening, "[::]:40014", ""),
		socket(boundInactive, "10.0.0.1:40009", ""), // reserved: bind() never chooses it
	})
	for at, want := range map[string]int{
		"10.0.0.1": 4, "10.0.0.3": 3, "10.0.0.4": 2, "0.0.0.0": 5, "::": 5, "fd00::1": 2,
	} {
		equal(t, at, p.Held(netip.MustParseAddr(at)), Use{Used: want, Max: 90})
	}
}

func TestPortReadings(t *testing.T) {
	var sockets []sockdiag.Socket
	for d := range 5 { // d+1 connections to each of five destinations
		for i := range d + 1 {
			sockets = append(sockets, socket(established, fmt.Sprintf("10.0.0.1:%d", 40000+i), fmt.Sprintf("10.0.0.2:%d", 440+d)))
		}
	}
	list, beyond := CountPorts(ports(t, "40000 40009", ""), sockets).readings(3, true)
	equal(t, "left out", beyond, 2)
	equal(t, "shown", len(list), 3)
	for i, r := range list {
		equal(t, "destination", r.Peer.Port(), uint16(444-i))
		equal(t, "used", r.Used, uint64(5-i))
		equal(t, "max", r.Max, 10)
		equal(t, "source", r.Local.Addr(), netip.MustParseAddr("10.0.0.1"))
	}
}

// An address is told of when programs bind there before they connect, and when
// nearly every port is held, so that the next bind() to port 0 fails.
func TestBindFirstReadings(t *testing.T) {
	held := func(sockets ...sockdiag.Socket) (list []Reading) {
		list, _ = CountPorts(ports(t, "40000 40009", ""), sockets).readings(3, false)
		return list
	}
	bound := held(socket(boundInactive, "10.0.0.1:40000", ""), socket(boundInactive, "10.0.0.1:40001", ""))
	if len(bound) != 1 || bound[0].Used != 2 || bound[0].Max != 10 || bound[0].Local.Addr().String() != "10.0.0.1" {
		t.Errorf("two bound sockets: %+v", bound)
	}
	var connected []sockdiag.Socket
	for i := range 9 { // to a destination each
		connected = append(connected, socket(established, fmt.Sprintf("10.0.0.1:%d", 40000+i), fmt.Sprintf("10.0.0.2:%d", 440+i)))
	}
	equal(t, "readings of eight held ports", len(held(connected[:8]...)), 3)
	full := held(connected...)
	if len(full) != 4 || full[3].Used != 9 || full[3].Peer.IsValid() {
		t.Errorf("nine held ports: %+v", full)
	}
}

func TestOwnNamespaceWithoutConnections(t *testing.T) {
	list, _ := CountPorts(ports(t, "40000 40009", ""), nil).readings(3, true)
	if len(list) != 1 || list[0].Used != 0 || list[0].Max != 10 {
		t.Errorf("own: %+v", list)
	}
	if list, _ = CountPorts(ports(t, "40000 40009", ""), nil).readings(3, false); len(list) != 0 {
		t.Errorf("another's: %+v", list)
	}
}

// A million sockets, half of them accepted ones, towards 50 destinations.
func BenchmarkCountPorts(b *testing.B) {
	sockets := []sockdiag.Socket{socket(listening, "0.0.0.0:80", "")}
	for i := range 500_000 {
		port := uint16(32768 + i%28232)
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 28232)}), port)
		server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i % 3)}), 80)
		sockets = append(sockets, sockdiag.Socket{State: established, Local: client, Peer: server},
			sockdiag.Socket{State: established, Local: server, Peer: client})
	}
	r := ports(b, "32768 60999", "")
	for b.Loop() {
		CountPorts(r, sockets).readings(mostDestinations, false)
	}
}
