package theory

import "math/big"

// Answer is one answer to "how many connections?".
type Answer struct {
	Name    string
	Formula string
	Inputs  []Input
	Value   *big.Int
	Unit    string
	Why     string // the argument that leads to it
	WhyNot  string // why it is not yet the answer, or what it leaves out
}

// Input is one quantity of a formula.
type Input struct {
	Name  string
	Value *big.Int
}

// MostPorts is how many numbers the 16 bits of TCP's port field have. Port 0 is
// among them; a connection cannot have it, since bind() and connect() take it
// for "choose one", which leaves UsablePorts.
const (
	MostPorts   = 1 << 16
	UsablePorts = MostPorts - 1
)

// Ladder is the question "n machines with m ports each: how many TCP
// connections?" with the answers that people give on the way, each with the
// argument that climbs to the next.
func Ladder(n, m *big.Int) []Answer {
	all := mul(m, n)
	rungs := []Answer{{
		Name: "pair", Formula: "m", Value: m,
		Why:    "a connection is a cable between two sockets: two machines with m sockets each have room for m cables",
		WhyNot: "with a third machine sockets stay free: all n machines can be cabled among each other",
	}, {
		Name: "cables", Formula: "⌊mn/2⌋", Value: half(all),
		Why:    "the n machines have mn sockets in all, and each cable takes two of them",
		WhyNot: "a connection does not use up the server's port: every accepted connection is a socket of its own, all on the port that listens",
	}, {
		Name: "one_server", Formula: "m(n−1)", Value: mul(m, plus(n, -1)),
		Why:    "one machine is the server: every port of each other machine connects to the one port where it listens",
		WhyNot: "the server's other ports sit idle: they can be clients too, if some other machine gives up a port to listen",
	}, {
		Name: "two_servers", Formula: "mn−2", Value: notNegative(plus(all, -2)),
		Why:    "two machines listen on one port each, and every other port of all machines connects to one of the two",
		WhyNot: "it lets each client's port connect once, and a port is no plug either: one (source address, source port) reaches many destinations, as brink run one-source-many-ports and one-source-many-addresses show",
	}, {
		Name: "four_tuple", Formula: "m²n²", Value: mul(all, all),
		Why:    "a connection is known by four things, source address and port, destination address and port: n·m sources times n·m destinations, and with any one of the four changed it is another connection",
		WhyNot: "it counts names, and a connection has two of them, A to B at the one end and B to A at the other; connections within a machine are in it as well, even a port's with itself",
	}, {
		Name: "at_once", Formula: "mn(mn+1)/2", Value: half(mul(all, plus(all, 1))),
		Why:    "the same pairs without their order, which can all stand at the same time: each (address, port) with each other one, and with itself by a simultaneous open (RFC 9293, section 3.5)",
		WhyNot: "a name is no resource: descriptors, memory, and the ports that connect() is allowed to choose run out far earlier",
	}}
	return with(rungs, "connections", Input{"n", n}, Input{"m", m})
}

// with gives answers their common inputs, and a unit where they have none.
func with(answers []Answer, unit string, inputs ...Input) []Answer {
	for i := range answers {
		answers[i].Inputs = inputs
		if answers[i].Unit == "" {
			answers[i].Unit = unit
		}
	}
	return answers
}

func mul(a, b *big.Int) *big.Int        { return new(big.Int).Mul(a, b) }
func plus(a *big.Int, b int64) *big.Int { return new(big.Int).Add(a, big.NewInt(b)) }
func half(a *big.Int) *big.Int          { return new(big.Int).Rsh(a, 1) }
func least(a, b *big.Int) *big.Int      { return pick(a.Cmp(b) < 0, a, b) }
func notNegative(a *big.Int) *big.Int   { return pick(a.Sign() < 0, new(big.Int), a) }
func pick(first bool, a, b *big.Int) *big.Int {
	if first {
		return a
	}
	return b
}
