package experiments

import (
	"context"
	"testing"

	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

func TestUDPSettingsMoveBoth(t *testing.T) {
	narrow := prepared(setting("net.ipv4.ip_local_port_range", "50000 50008", "net.ipv4.ip_local_reserved_ports", "50001"))
	for _, row := range []struct {
		name string
		e    Experiment
		want int
	}{
		{"8 ports", oneLeg(exhaustUDP(IPv4, 1), narrow), 8},
		{"8 ports, IPv6", oneLeg(exhaustUDP(IPv6, 1), narrow), 8},
		{"8 ports of two addresses", oneLeg(exhaustUDP(IPv4, 2), narrow), 16},
		{"7 peers", oneLeg(unconnectedUDP(IPv6, 7)), 7},
		{"7 peers connected", oneLeg(connectedUDP(IPv6, "SO_REUSEADDR", 7)), 7},
		{"9 peers connected", oneLeg(connectedUDP(IPv4, "SO_REUSEPORT", 9)), 9},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := run(t, noKernel(), row.e)
			judged(t, row.name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.want)
			equal(t, "measured", r.Measured.Value, row.want)
		})
	}
}

func TestUDPIsNotBelieved(t *testing.T) {
	shrunk := oneLeg(exhaustUDP(IPv4, 2), func(leg *Leg) {
		push := leg.Push
		leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
			m, err := push(ctx, b)
			m.Refusals, m.Errno = 1, unix.EADDRINUSE
			return m, err
		}
	})
	judged(t, "a refusal", run(t, noKernel(), shrunk), Refuted, "predicted no refusal, measured EADDRINUSE")

	told := fourPortsTold()
	told.Connections, told.Hits = 0, nil
	k := &fakeKernel{told: told}
	r := run(t, k, oneLeg(exhaustUDP(IPv4, 1)))
	judged(t, "no hit", r, Refuted, "measured 1 refusals, the kernel told of 0 by "+limits.EphemeralPorts.String())

	sockets := unconnectedUDP(IPv4, 3)
	sockets.Push = afterwards(sockets.Push, func(b *Bench) { b.note(udpSocketsNote, 3) })
	judged(t, "a socket for each", run(t, k, oneLeg(sockets)), Refuted,
		"1 UDP sockets with 0 peers were to hold the port, the kernel lists 3 with 0")
}

// afterwards does something once a leg has been pushed.
func afterwards(push func(context.Context, *Bench) (Measurement, error), also func(*Bench)) func(context.Context, *Bench) (Measurement, error) {
	return func(ctx context.Context, b *Bench) (Measurement, error) {
		m, err := push(ctx, b)
		also(b)
		return m, err
	}
}
