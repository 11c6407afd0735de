package experiments

import (
	"net/netip"
	"testing"

	"brink/experiments/lab"
)

func TestCheckGreetings(t *testing.T) {
	to, from := twoPorts(IPv4), IPv4.at(1, sourcePort)
	good := []lab.Greeting{{Server: to[0], Client: from}, {Server: to[1], Client: from}}
	for _, row := range []struct {
		name   string
		opened int
		from   netip.AddrPort
		heard  []lab.Greeting
		want   string
	}{
		{"as asked", 2, from, good, ""},
		{"from any port", 2, IPv4.at(1, 0), good, ""},
		{"from anywhere", 2, netip.AddrPort{}, good, ""},
		{"one server silent", 2, from, good[:1], "1 of 2 connections brought a greeting"},
		{"the other server", 1, from, good[1:], "connected to 127.0.0.1:6001, answered by 127.0.0.1:6002"},
		{"somebody else's", 2, IPv4.at(2, sourcePort), good, "connected from 127.0.0.2:6000, 127.0.0.1:6001 saw 127.0.0.1:6000"},
	} {
		r := lab.ConnectResult{Opened: row.opened, Greetings: row.heard}
		equal(t, row.name, checkGreetings(r, lab.ConnectOptions{To: to, From: row.from}), row.want)
	}
}

func TestCheckConnections(t *testing.T) {
	at, other := IPv4.at(1, firstPort), IPv4.at(1, firstPort+1)
	a, b := IPv4.at(1, 40000), IPv4.at(1, 40001)
	for _, row := range []struct {
		name string
		open int
		list []lab.Connection
		want string
	}{
		{"each its peer", 2, []lab.Connection{{Local: at, Peer: a}, {Local: at, Peer: b}}, ""},
		{"one port for both", 2, []lab.Connection{{Local: at, Peer: a}, {Local: at, Peer: a}}, "2 sockets have 1 different peers"},
		{"another port", 2, []lab.Connection{{Local: at, Peer: a}, {Local: other, Peer: b}}, "a socket of 127.0.0.1:6001 is on 127.0.0.1:6002"},
		{"not listed", 2, []lab.Connection{{Local: at, Peer: a}}, "2 sockets have 1 different peers"},
	} {
		equal(t, row.name, checkConnections(lab.Accepted{Open: row.open, Connections: row.list}, at), row.want)
	}
}
