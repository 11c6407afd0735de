package experiments

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "hostname-addresses", Group: Multiplex, Takes: 3 * time.Second,
		Question: "how many connections to a name with several A and AAAA records?",
		Expect:   "the ports of the range to each of the addresses, not to the name: A × P; each exhausted address says EADDRNOTAVAIL",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			r := portRange{low: "40000", high: "40019"}
			if s.Full {
				r = portRange{low: "40000", high: "40999"}
			}
			both := nameAddresses(2, 2)
			return []Leg{
				nameLeg("A and AAAA, each address once", r, dnsZone{Addresses: both}, oneAfterTheOther),
				nameLeg("answers that rotate, by Go's Dialer", r, dnsZone{Addresses: nameAddresses(3, 0), Rotate: true}, dialInTurn),
				nameLeg("A and AAAA, by Go's Dialer", r, dnsZone{Addresses: both}, dialFromTheFirst),
				nameLeg("one address, IPv4", r, dnsZone{Addresses: nameAddresses(1, 0)}, oneAfterTheOther),
				nameLeg("one address, IPv6", r, dnsZone{Addresses: nameAddresses(0, 1)}, oneAfterTheOther),
			}
		},
	})
}

// nameAddresses each family so many.
func nameAddresses(four, six int) (all []netip.Addr) {
	for i := range four {
		all = append(all, IPv4.address(i+1))
	}
	for i := range six {
		all = append(all, IPv6.address(i+1))
	}
	return all
}

// A nameClient goes through a name's addresses in a way of its own.
type nameClient struct {
	// refusals that it meets at so many addresses with so many ports each.
	refusals func(addresses, ports int) int
	formula  string
	push     func(context.Context, *Bench, nameAsked) (nameDialled, error)
}

// goTries: Go's net package takes EADDRNOTAVAIL for spurious, and tries an
// address three times (spuriousENOTAVAIL in net/tcpsock_posix.go).
const goTries = 3

// The clients: one that looks the name up once and leaves an address for good
// when it is exhausted, and Go's Dialer, which remembers nothing. When answers
// rotate, all addresses are exhausted at the same time.
var (
	oneAfterTheOther = nameClient{
		refusals: func(a, _ int) int { return a },
		formula:  "A", push: connectOneAfterTheOther,
	}
	dialInTurn = nameClient{
		refusals: func(a, _ int) int { return goTries * a },
		formula:  "3 × A", push: dialUntilRefused,
	}
	dialFromTheFirst = nameClient{
		refusals: func(a, p int) int { return goTries * (p*a*(a-1)/2 + a) },
		formula:  "3 × (P × A × (A - 1) / 2 + A)", push: dialUntilRefused,
	}
)

func nameLeg(name string, r portRange, zone dnsZone, client nameClient) Leg {
	zone.Name, zone.At = "server.brink.example.", IPv4.at(100, 53)
	asked := nameAsked{Server: zone.At, Name: zone.Name, Port: firstPort}
	var found []netip.Addr
	predict := func(ctx context.Context, b *Bench) (Prediction, int, error) {
		return b.predictName(ctx, found, client)
	}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			if err := r.apply(ctx, b); err != nil {
				return err
			}
			if err := b.serveName(ctx, zone); err != nil {
				return err
			}
			found, err = lookUpName.Run(ctx, b.Client, asked)
			return err
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, _, err := predict(ctx, b)
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, refusals, err := predict(ctx, b)
			if err != nil {
				return Measurement{}, err
			}
			asked.Most = p.Value + 1
			return b.pushName(ctx, asked, client, p.Value/len(found), refusals)
		},
	}
}

// serveName starts a server with a listener at each address, the client, and the
// name server, which is a worker of its own.
func (b *Bench) serveName(ctx context.Context, zone dnsZone) error {
	if err := b.addAddresses(ctx, IPv6, len(zone.Addresses)); err != nil {
		return err
	}
	if err := b.pair(ctx); err != nil {
		return err
	}
	for _, a := range zone.Addresses {
		if err := b.listenTo(ctx, netip.AddrPortFrom(a, firstPort)); err != nil {
			return err
		}
	}
	names, err := b.worker(ctx, lab.WorkerOptions{})
	if err != nil {
		return err
	}
	_, err = startDNS.Run(ctx, names, zone)
	return err
}

func (b *Bench) listenTo(ctx context.Context, at netip.AddrPort) error {
	s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: at, Accept: true})
	b.Listeners = append(b.Listeners, s)
	return err
}

// predictName computes from the range and from what the name server said. The
// second number is of the refusals on the way.
func (b *Bench) predictName(ctx context.Context, found []netip.Addr, client nameClient) (Prediction, int, error) {
	p, err := b.predictPorts(ctx, 1, syscall.EADDRNOTAVAIL)
	if err != nil {
		return p, 0, err
	}
	if len(found) == 0 {
		return p, 0, fmt.Errorf("the name has no address")
	}
	refusals := client.refusals(len(found), p.Value)
	p.Formula = "A × P, P = high - low + 1 - reserved; refusals: " + client.formula
	p.Inputs = append(p.Inputs, Input{"A", len(found)}, Input{"P", p.Value}, Input{"refusals", refusals})
	p.Value *= len(found)
	return p, refusals, nil
}

// pushName holds the spread over the addresses and the refusals against what was
// computed. The judge holds the kernel's against both.
func (b *Bench) pushName(ctx context.Context, n nameAsked, client nameClient, each, refusals int) (Measurement, error) {
	d, err := client.push(ctx, b, n)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: d.Opened, Errno: d.Errno, Refusals: d.Attempts - d.Opened}
	if m.Refusals != refusals {
		m.Problem = fmt.Sprintf("%d refusals were to come, there were %d", refusals, m.Refusals)
	}
	for _, address := range slices.SortedFunc(maps.Keys(d.Peers), netip.Addr.Compare) {
		m.Findings = append(m.Findings, Finding{"to " + address.String(), float64(d.Peers[address]), "connections"})
		if d.Peers[address] != each {
			m.Problem = fmt.Sprintf("%d connections were to go to each address, %s has %d", each, address, d.Peers[address])
		}
	}
	accepted, err := b.awaitAccepted(ctx, d.Opened)
	if err != nil {
		return m, err
	}
	m.Endpoints = d.Opened + accepted
	_, err = leaveName.Run(ctx, b.Client, struct{}{})
	return m, err
}

// connectOneAfterTheOther looks the name up once and goes on to its next address
// when one is exhausted.
func connectOneAfterTheOther(ctx context.Context, b *Bench, n nameAsked) (nameDialled, error) {
	d := nameDialled{Peers: map[netip.Addr]int{}}
	addresses, err := lookUpName.Run(ctx, b.Client, n)
	for _, a := range addresses {
		r, err := b.Client.Connect(ctx, lab.ConnectOptions{
			To: []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), n.Port)}, Count: n.Most,
		})
		if err != nil {
			return d, err
		}
		d.Opened, d.Attempts, d.Errno = d.Opened+r.Opened, d.Attempts+r.Attempts, r.Errno
		d.Peers[a.Unmap()] += r.Opened
	}
	return d, err
}

func dialUntilRefused(ctx context.Context, b *Bench, n nameAsked) (nameDialled, error) {
	return dialName.Run(ctx, b.Client, n)
}
