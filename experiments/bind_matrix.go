package experiments

import (
	"slices"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/limits"
)

func init() {
	register(Experiment{
		Name: "bind-matrix", Group: Identity, Takes: 5 * time.Second,
		Question: "which pairs of sockets may share a port?",
		Expect: "the kernel's rules, written down, tell of every pair: SO_REUSEADDR × SO_REUSEPORT × listening × address × " +
			"family × how the port is asked for; each refused bind is laid to its holder",
		Limit: limits.BindConflict,
		Hooks: []string{"state", "connect", "accept", "bind", "port_choice"},
		Legs: func(s Size) (legs []Leg) {
			for _, table := range matrixTables(s) {
				legs = append(legs, table.leg())
			}
			return legs
		},
	})
}

// A matrixTable is one leg: each socket of its rows holds a port, and each of its
// columns asks for that port.
type matrixTable struct {
	name          string
	second, about string // how the columns ask, in short and at length
	rule          string // the kernel's function that refuses them
	limit         collector.Limit
	errno         syscall.Errno
	rows, columns []matrixGroup
	autobindReuse bool // the leg sets net.ipv4.ip_autobind_reuse
	// bothListen: a holder that is bound alone listens in the end, after the
	// second socket does. bind() lets more sockets share a port than listen().
	bothListen bool
}

// matrixTables are all. What asks for a port by its number is divided by who
// holds it: no leg may have more refusals than the collector looks into at once
// (its resolverQueue).
func matrixTables(s Size) []matrixTable {
	connected := connectedTo(sameDestination, s.Full)
	bound := boundAt(asPort, place4, any4, place6, any6, anyBoth)
	tables := []matrixTable{
		explicitly("bind, IPv4 first", boundAt(asPort, place4, any4)),
		explicitly("bind, IPv6 first", boundAt(asPort, place6, any6)),
		explicitly("bind, dual-stack first", boundAt(asPort, anyBoth)),
		explicitly("bind, connection first", connected),
	}
	if s.Full {
		tables = append(tables,
			explicitly("bind, IPv4 by bind(0) first", boundAt(asZero, place4, any4)),
			explicitly("bind, IPv6 by bind(0) first", boundAt(asZero, place6, any6)),
			explicitly("bind, dual-stack by bind(0) first", boundAt(asZero, anyBoth)))
		bound = append(bound, boundAt(asZero, place4, any4, place6, any6, anyBoth)...)
	}
	return append(tables, chosen(bound, connected)...)
}

func explicitly(name string, rows []matrixGroup) matrixTable {
	return matrixTable{
		name: name, second: "bind(port)", about: "bind() to the port of the first socket, then listen()",
		rule: "inet_csk_bind_conflict", limit: limits.BindConflict, errno: syscall.EADDRINUSE, rows: rows, columns: places(asPort), bothListen: true,
	}
}

// chosen are the tables where the kernel chooses the port. Where a bind() made it,
// the destination of a connect() cannot matter to it.
func chosen(bound, connected []matrixGroup) []matrixTable {
	all := append(slices.Clip(bound), connected...)
	zero := matrixTable{
		name: "bind(0)", second: "bind(0)", about: "bind() to port 0, where ip_local_port_range is that one port",
		rule: "inet_csk_find_open_port", limit: limits.EphemeralPorts, errno: syscall.EADDRINUSE, rows: all, columns: places(asZero),
	}
	relaxed := zero
	relaxed.name, relaxed.second, relaxed.about = "bind(0), ip_autobind_reuse", "bind(0), reuse", "the same with net.ipv4.ip_autobind_reuse 1"
	relaxed.autobindReuse = true
	same := matrixTable{
		name: "connect", second: "connect()", about: "connect() without a port, likewise, to where the first socket is connected if it is",
		rule: "__inet_hash_connect", limit: limits.EphemeralPorts, errno: syscall.EADDRNOTAVAIL, rows: all, columns: connectedTo(sameDestination, true),
	}
	other := same
	other.name, other.second, other.about = "connect elsewhere", "elsewhere", "connect() to another destination"
	other.rows, other.columns = connected, connectedTo(otherDestination, true)
	return []matrixTable{zero, relaxed, same, other}
}
