package experiments

import (
	"context"
	"testing"
)

// TestRefusalsOnTheWay holds the formulas against a client that is played.
func TestRefusalsOnTheWay(t *testing.T) {
	for a := 1; a <= 5; a++ {
		for p := 1; p <= 7; p++ {
			equal(t, "by Go's Dialer", dialFromTheFirst.refusals(a, p), playDialer(a, p))
			equal(t, "rotating", dialInTurn.refusals(a, p), goTries*a)
			equal(t, "one after the other", oneAfterTheOther.refusals(a, p), a)
		}
	}
}

// playDialer begins at the first address for every connection.
func playDialer(addresses, ports int) (refusals int) {
	taken := make([]int, addresses)
	for {
		opened := false
		for i := range taken {
			if taken[i] < ports {
				taken[i]++
				opened = true
				break
			}
			refusals += goTries
		}
		if !opened {
			return refusals
		}
	}
}

func TestNameSettingsMoveBoth(t *testing.T) {
	six := portRange{low: "50000", high: "50007", reserved: "50003-50004"}
	for _, row := range []struct {
		name string
		leg  Leg
		want int
	}{
		{"5 addresses of 6 ports", nameLeg("name", six, dnsZone{Addresses: nameAddresses(3, 2)}, oneAfterTheOther), 30},
		{"by Go's Dialer", nameLeg("name", six, dnsZone{Addresses: nameAddresses(1, 2)}, dialFromTheFirst), 18},
		{"rotating", nameLeg("name", six, dnsZone{Addresses: nameAddresses(0, 2), Rotate: true}, dialInTurn), 12},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := run(t, noKernel(), oneLeg(row.leg))
			judged(t, row.name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.want)
			equal(t, "measured", r.Measured.Value, row.want)
		})
	}
}

// TestNameIsNotBelieved: a range that shrinks, a client that is another than the
// predicted one, a kernel that tells otherwise.
func TestNameIsNotBelieved(t *testing.T) {
	four := portRange{low: "50000", high: "50003"}
	leg := func(c nameClient) Leg { return nameLeg("name", four, dnsZone{Addresses: nameAddresses(2, 0)}, c) }

	k := &fakeKernel{told: fourPortsTold()}
	k.told.Connections = 16
	k.told.Hits[0].Count = 1
	judged(t, "a refusal that was not told", run(t, k, oneLeg(leg(oneAfterTheOther))), Refuted,
		"measured 2 refusals, the kernel told of 1 by ephemeral_ports")

	other := oneAfterTheOther
	other.push = dialUntilRefused
	judged(t, "another client", run(t, noKernel(), oneLeg(leg(other))), Refuted, "measured: 2 refusals were to come, there were 18")

	less := leg(oneAfterTheOther)
	push := less.Push
	less.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		m, err := push(ctx, b)
		m.Value--
		return m, err
	}
	judged(t, "less", run(t, noKernel(), oneLeg(less)), Refuted, "predicted 8 connections, measured 7 (EADDRNOTAVAIL)")
}
