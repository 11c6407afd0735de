package experiments

import (
	"context"
	"fmt"
	"net/netip"

	"brink/experiments/lab"
)

// The identity experiments all use one source: the n-th address and this port,
// chosen outside the default ephemeral range.
const (
	sourcePort = 6000
	firstPort  = 6001
)

var reuse = lab.SocketOptions{ReuseAddr: true}

// sameSource opens one connection from the given source to each destination
// and checks, by the servers' own greetings, that each saw that very source.
func sameSource(ctx context.Context, b *Bench, o lab.ConnectOptions) (Measurement, error) {
	o.Greeting = true
	before, err := b.accepted(ctx)
	if err != nil {
		return Measurement{}, err
	}
	r, err := b.Client.Connect(ctx, o)
	if err != nil {
		return Measurement{}, err
	}
	accepted, err := b.awaitAccepted(ctx, before+r.Opened)
	return Measurement{
		Value: r.Opened, Errno: r.Errno, Refusals: r.Attempts - r.Opened,
		Endpoints: r.Opened + accepted - before, Problem: checkGreetings(r, o),
	}, err
}

// checkGreetings holds what each server saw against where the client connected.
func checkGreetings(r lab.ConnectResult, o lab.ConnectOptions) string {
	if len(r.Greetings) != r.Opened {
		return fmt.Sprintf("%d of %d connections brought a greeting", len(r.Greetings), r.Opened)
	}
	for i, g := range r.Greetings {
		if want := o.To[i%len(o.To)]; g.Server != want {
			return fmt.Sprintf("connected to %s, answered by %s", want, g.Server)
		}
		if o.From.Port() != 0 && g.Client != o.From {
			return fmt.Sprintf("connected from %s, %s saw %s", o.From, g.Server, g.Client)
		}
	}
	return ""
}

// prepareServers starts a server and a client, and listeners at the given
// places of a family.
func prepareServers(f Family, addresses int, at ...netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, addresses); err != nil {
			return err
		}
		if err := b.pair(ctx); err != nil {
			return err
		}
		return b.listen(ctx, at...)
	}
}

// allStand predicts that each destination gets its connection: what is unique
// is the 4-tuple, not the source.
func allStand(destinations int) func(context.Context, *Bench) (Prediction, error) {
	return func(context.Context, *Bench) (Prediction, error) {
		return Prediction{
			Value: destinations, Unit: "connections", Formula: "one per distinct 4-tuple",
			Inputs: []Input{{"sources", 1}, {"destinations", destinations}},
		}, nil
	}
}

// oneToEach is a leg: one source, one connection to each of these.
func oneToEach(f Family, addresses int, to []netip.AddrPort) Leg {
	return Leg{
		Name:    f.String(),
		Prepare: prepareServers(f, addresses, to...),
		Predict: allStand(len(to)),
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return sameSource(ctx, b, lab.ConnectOptions{To: to, From: f.at(1, sourcePort), SocketOptions: reuse})
		},
	}
}
