package experiments

import (
	"net/netip"

	"brink/collector/portrule"
)

// matrixStep is what a pair's sockets do after the first has its port.
type matrixStep int

const (
	granted     matrixStep = iota // all of it
	atPort                        // the second socket asks for the port
	atListen                      // it listens
	atBothBound                   // the first one, that was bound alone, listens as well
)

// A matrixPair is one cell. It has a port of its own, so that nothing of another
// pair is in its way.
type matrixPair struct {
	port          uint16
	first, second matrixSocket
	row, column   int // among the sockets, not the groups
	steps         []matrixStep

	// What is predicted: the step that is refused, and why.
	refused matrixStep
	rule    portrule.Rule
}

// predict asks the rules, step by step, until one refuses.
func (p *matrixPair) predict(autobindReuse bool) {
	p.refused = granted
	for _, step := range p.steps {
		if p.rule = p.refusal(step, autobindReuse); p.rule != portrule.NoRule {
			p.refused = step
			return
		}
	}
}

func (p *matrixPair) refusal(step matrixStep, autobindReuse bool) portrule.Rule {
	ask, held := p.second.inKernel(p.port), p.first.inKernel(p.port)
	switch {
	case step == atBothBound: // the one that asks has been there all the time
		held.State = portrule.Listening
		return portrule.Judge(held.Socket, ask.Socket).Rule
	case step == atPort && p.second.Way == asZero:
		ask.State = portrule.Bound
		return portrule.ChosenByBind(ask.Socket, autobindReuse, held.Socket)
	case step == atPort && p.second.Way == asClient:
		return portrule.ChosenByConnect(ask, held)
	case step == atPort:
		ask.State = portrule.Bound
	}
	if portrule.Predict(ask.Socket, held.Socket).Refused {
		return portrule.Judge(ask.Socket, held.Socket).Rule
	}
	return portrule.NoRule
}

// inKernel is what the socket becomes once it has got all that it asks for.
func (s matrixSocket) inKernel(port uint16) portrule.Connection {
	c := portrule.Connection{Peer: s.Peer}
	c.Options = portrule.Options{ReuseAddr: s.ReuseAddr, ReusePort: s.ReusePort, V6Only: s.V6Only}
	if s.Listens {
		c.State = portrule.Listening
	}
	address := s.Address
	switch {
	case !address.IsUnspecified():
		c.V6Only = address.Is6() // __inet6_bind
	case s.Way == asClient:
		address = s.Peer.Addr() // all of one host, so that the source is the destination
	}
	if s.Way == asClient {
		c.State, c.Origin = portrule.Connected, portrule.ByConnect
	}
	c.Local = netip.AddrPortFrom(address, port)
	return c
}

// count is how many of the pairs, each of which is told apart by who listens, a
// cell's sockets may be before the step is refused.
func (p *matrixPair) count(refused matrixStep) (n int) {
	for _, step := range p.steps {
		if step == refused {
			break
		}
		n++
	}
	return n
}
