package experiments

import "net/netip"

// A matrixSocket is one of a pair, as it is asked for. Its port is the pair's.
type matrixSocket struct {
	Way                  matrixWay
	Address              netip.Addr
	V6Only               bool
	ReuseAddr, ReusePort bool
	Listens              bool
	Peer                 netip.AddrPort // of what connects
}

// matrixWay is how a socket asks for its port. The kernel's own choice has no
// choice here: the range has that one port.
type matrixWay int

const (
	asPort   matrixWay = iota // bind() to the port
	asZero                    // bind() to port 0
	asClient                  // connect(), bound to an address with IP_BIND_ADDRESS_NO_PORT or not at all
)

// A matrixPlace is an address of a certain family, or of both.
type matrixPlace struct {
	code, name string
	address    netip.Addr
	v6only     bool
}

var (
	place4  = matrixPlace{"4=", "127.0.0.1", IPv4.address(1), false}
	other4  = matrixPlace{"4#", "127.0.0.2", IPv4.address(2), false}
	any4    = matrixPlace{"4*", "0.0.0.0", netip.IPv4Unspecified(), false}
	place6  = matrixPlace{"6=", "fd00::1", IPv6.address(1), false}
	other6  = matrixPlace{"6#", "fd00::2", IPv6.address(2), false}
	any6    = matrixPlace{"6*", "[::] v6only", netip.IPv6Unspecified(), true}
	anyBoth = matrixPlace{"d*", "[::] dual", netip.IPv6Unspecified(), false}
)

// A matrixGroup is four sockets that differ in matrixOptions alone.
type matrixGroup struct {
	code, name string
	socket     matrixSocket
}

// matrixOptions: bit 0 of the index is SO_REUSEADDR, bit 1 SO_REUSEPORT.
var matrixOptions = []MatrixAxis{{"-", "neither option"}, {"a", "SO_REUSEADDR"}, {"p", "SO_REUSEPORT"}, {"b", "both"}}

// sockets are the four.
func (g matrixGroup) sockets() []matrixSocket {
	all := make([]matrixSocket, len(matrixOptions))
	for i := range all {
		all[i] = g.socket
		all[i].ReuseAddr, all[i].ReusePort = i&1 != 0, i&2 != 0
	}
	return all
}

// boundAt are rows: at each place one that is bound, and one that listens.
func boundAt(way matrixWay, at ...matrixPlace) (rows []matrixGroup) {
	from := map[matrixWay]string{asZero: ", port 0"}[way]
	for _, p := range at {
		s := matrixSocket{Way: way, Address: p.address, V6Only: p.v6only}
		rows = append(rows, matrixGroup{name: p.name + " bound" + from, socket: s})
		s.Listens = true
		rows = append(rows, matrixGroup{name: p.name + " listens" + from, socket: s})
	}
	return rows
}

// places are columns: each place there is, where a socket binds and then listens.
func places(way matrixWay) (columns []matrixGroup) {
	for _, p := range []matrixPlace{place4, other4, any4, place6, other6, any6, anyBoth} {
		columns = append(columns, matrixGroup{p.code, p.name, matrixSocket{
			Way: way, Address: p.address, V6Only: p.v6only, Listens: true,
		}})
	}
	return columns
}

// Where the matrix' clients connect to, beside one another.
const (
	sameDestination  = firstPort
	otherDestination = firstPort + 1
)

// connectedTo are clients whose port connect() chooses, rows or columns; all of
// them, or those that become different sockets: an address that was bound makes no
// other connection than one that the kernel has put in.
func connectedTo(port uint16, all bool) (clients []matrixGroup) {
	add := func(code, name string, p matrixPlace, peer netip.Addr) {
		clients = append(clients, matrixGroup{code, name + " connected", matrixSocket{
			Way: asClient, Address: p.address, V6Only: p.v6only, Peer: netip.AddrPortFrom(peer, port),
		}})
	}
	for _, places := range [][]matrixPlace{{place4, other4, any4}, {place6, other6, any6}} {
		if !all {
			places = places[:1]
		}
		for _, p := range places {
			add(p.code, p.name, p, places[0].address)
		}
	}
	add("d4", "[::] to IPv4", anyBoth, netip.AddrFrom16(place4.address.As16()))
	add("d6", "[::] to IPv6", anyBoth, place6.address)
	return clients
}
