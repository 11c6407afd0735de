package experiments

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"brink/experiments/lab"
)

// TestByHand: a round's pieces add up to a connection, and resumption saves three
// of them.
func TestByHand(t *testing.T) {
	took := tlsRound{
		connectPiece: 100 * time.Microsecond, messagesPiece: 50 * time.Microsecond, sharePiece: 200 * time.Microsecond,
		schedulePiece: 30 * time.Microsecond, recordsPiece: 20 * time.Microsecond, restPiece: 100 * time.Microsecond,
		signPiece: 50 * time.Microsecond, chainPiece: 150 * time.Microsecond, verifyPiece: 100 * time.Microsecond,
		mlkemPiece: 200 * time.Microsecond,
	}
	for _, row := range []struct {
		name    string
		o       tlsOptions
		want    int
		formula string
	}{
		{"plain", tlsOptions{}, 10000, "1 s / connect"},
		{"full", tlsOptions{TLS: true}, 1250, "1 s / sum"},
		{"without sign, chain and verify", tlsOptions{TLS: true, Resume: true}, 2000, "1 s / sum"},
		{"with ML-KEM", tlsOptions{TLS: true, PostQuantum: true}, 1000, "1 s / sum"},
	} {
		round := tlsRound{}
		for _, piece := range row.o.pieces() {
			round[piece] = took[piece]
		}
		slow := maps.Clone(round)
		slow[connectPiece] += time.Second
		var byHand tlsByHand
		byHand.summarize(row.o, []tlsRound{slow, round, round, slow, slow})
		equal(t, row.name+": connections", byHand.Connections, 6)
		p := predictHandshakes(row.o, byHand)
		equal(t, row.name, p.Value, row.want)
		equal(t, row.name+": formula", p.Formula, row.formula)
		equal(t, row.name+": the first input", p.Inputs[0], Input{connectPiece, "100µs"})
		if row.o.TLS {
			equal(t, row.name+": the last", p.Inputs[len(row.o.pieces())], Input{"sum", byHand.Each.String()})
		}
	}
}

// TestRound: what a handshake in memory did as well is taken off.
func TestRound(t *testing.T) {
	o, done := tlsOptions{TLS: true}, []string(nil)
	work := map[string]func() error{}
	for _, piece := range o.pieces() {
		work[piece] = func() error { done = append(done, piece); return nil }
	}
	round := must(o.round(work))(t)
	equal(t, "in order", slices.Equal(done, o.pieces()), true)
	equal(t, "pieces", len(round), len(o.pieces()))
	if round[restPiece] > 0 && round[restPiece] > round[connectPiece]+time.Millisecond {
		t.Errorf("the rest of nothing takes %v", round[restPiece])
	}
	work[signPiece] = func() error { return errors.New("no key") }
	_, err := o.round(work)
	isError(t, err, "sign by hand: no key")
}

func TestSteady(t *testing.T) {
	for after, want := range map[int]bool{100: true, 81: true, 119: true, 70: false, 130: false, 800: false, 10: false} {
		err := steady(100, time.Duration(after))
		equal(t, "steady", err == nil, want)
	}
}

// TestAtTheSpeedOf: a CPU that is slower meanwhile is no reason for a connection to
// be dearer.
func TestAtTheSpeedOf(t *testing.T) {
	before := tlsByHand{Each: 100 * time.Microsecond}
	for name, row := range map[string]struct{ made, byHand, want time.Duration }{
		"as before": {150, 100, 150}, "half as fast": {300, 200, 150}, "twice as fast": {75, 50, 150}, "dearer by itself": {200, 100, 200},
	} {
		m := tlsMeasured{Each: row.made * time.Microsecond, ByHand: tlsByHand{Each: row.byHand * time.Microsecond}}
		equal(t, name, m.atTheSpeedOf(before), row.want*time.Microsecond)
	}
}

func TestHandshakeProblem(t *testing.T) {
	for _, row := range []struct {
		m      tlsMeasured
		resume bool
		want   string
	}{
		{tlsMeasured{Connections: 5, Resumed: 4}, true, ""},
		{tlsMeasured{Connections: 5}, false, ""},
		{tlsMeasured{Connections: 5, Resumed: 3}, true, "3 of 5 handshakes were resumed, not 4"},
		{tlsMeasured{Connections: 5, Resumed: 1}, false, "1 of 5 handshakes were resumed, not 0"},
	} {
		equal(t, "problem", row.m.problem(tlsOptions{Resume: row.resume}), row.want)
	}
}

// TestKeys: the pieces by hand are what the two ends do.
func TestKeys(t *testing.T) {
	for _, useRSA := range []bool{false, true} {
		k, other := must(newTLSKeys(useRSA))(t), must(newTLSKeys(useRSA))(t)
		noError(t, k.sign())
		noError(t, k.verify())
		noError(t, k.verifyChain())
		other.signature = k.signature
		if other.verify() == nil {
			t.Error("another key's signature is right")
		}
		k.roots = other.roots
		isError(t, k.verifyChain(), "certificate signed by unknown authority")
	}
	for name, piece := range map[string]func() error{
		"shares": exchangeShares, "ML-KEM": encapsulate, "key schedule": deriveKeys, "records": sealRecords,
	} {
		if err := piece(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dearer has the client look at every certificate for long; forgetful lets the
// server give out no more tickets.
var (
	dearer = lab.DefineProgram("test: a slow client", func(struct{}) (struct{}, error) {
		tlsInside.client.VerifyConnection = func(tls.ConnectionState) error {
			for began := cpuTime(); cpuTime()-began < 30*time.Millisecond; {
			}
			return nil
		}
		return struct{}{}, nil
	})
	forgetful = lab.DefineProgram("test: no tickets", func(struct{}) (struct{}, error) {
		tlsInside.server.SessionTicketsDisabled = true
		return struct{}{}, nil
	})
)

// TestHandshakesBehindTheirBack: what makes them dearer after the prediction is
// found out.
func TestHandshakesBehindTheirBack(t *testing.T) {
	for name, row := range map[string]struct {
		o       tlsOptions
		program lab.Program[struct{}, struct{}]
		reason  string
	}{
		"a slow client":     {tlsOptions{TLS: true}, dearer, "connections a second of CPU, measured"},
		"nothing to resume": {tlsOptions{TLS: true, Resume: true}, forgetful, "handshakes were resumed, not"},
	} {
		var r Result
		for range 5 { // a machine with other work may not be steady; then nothing is shown
			r = run(t, noKernel(), oneLeg(handshakes(name, 50*time.Millisecond, row.o), behindItsBack(func(ctx context.Context, b *Bench) error {
				_, err := row.program.Run(ctx, b.Server, struct{}{})
				return err
			})))
			if !strings.Contains(r.Reason, "not steady") {
				break
			}
		}
		equal(t, name, r.Verdict, Refuted)
		if !strings.Contains(r.Reason, row.reason) {
			t.Errorf("%s: the reason is %q", name, r.Reason)
		}
	}
}
