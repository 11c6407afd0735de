package experiments

import (
	"context"
	"fmt"
	"time"

	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "tls-handshakes", Group: Resources, Takes: 2 * time.Second,
		Question: "how many TLS handshakes a second does a CPU make, against plain connects?",
		Expect: "the CPU is the limit: 1 s / (a plain connect + what the handshake computes, measured piece by piece); " +
			"resumption saves the certificate's signature, chain and verification",
		Hooks: []string{"state"},
		Legs: func(s Size) []Leg {
			n := 40
			if s.Full {
				n = 1000
			}
			return []Leg{
				handshakes("ECDSA P-256", n, tlsOptions{TLS: true}),
				handshakes("ECDSA P-256, resumed", n, tlsOptions{TLS: true, Resume: true}),
				handshakes("ECDSA P-256 and ML-KEM-768", n, tlsOptions{TLS: true, PostQuantum: true}),
				handshakes("RSA-2048", n, tlsOptions{TLS: true, RSA: true}),
				handshakes("without TLS", n, tlsOptions{}),
			}
		},
	})
}

// handshakes measures what a connection is made of, then connections. It counts
// the CPU time of the process that is both ends, so that neither waiting nor
// what else the machine does matters.
func handshakes(name string, n int, o tlsOptions) Leg {
	o.At = IPv4.at(1, firstPort)
	var before tlsByHand
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			if b.Server, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
				return err
			}
			if _, err = startTLS.Run(ctx, b.Server, o); err != nil {
				return err
			}
			before, err = measureByHand.Run(ctx, b.Server, n)
			return err
		},
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return predictHandshakes(o, before.Pieces), nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			made, err := measureHandshakes.Run(ctx, b.Server, n)
			if err != nil {
				return Measurement{}, err
			}
			m := Measurement{
				Value: perSecond(made.Each), Endpoints: 2 * (before.Connections + made.Connections),
				Problem: made.problem(o),
			}
			m.Findings, err = b.tlsFindings(ctx, before.Pieces[connectPiece], made.Each)
			return m, err
		},
	}
}

// predictHandshakes adds up the pieces. What it leaves out is what the two
// programs do between them: messages put together and taken apart, memory.
func predictHandshakes(o tlsOptions, pieces map[string]time.Duration) Prediction {
	p := Prediction{Unit: "connections a second of CPU", Formula: "1 s / connect", Within: 0.3}
	var sum time.Duration
	for _, name := range o.pieces() {
		if name != connectPiece {
			p.Formula = "1 s / sum"
		}
		p.Inputs = append(p.Inputs, Input{name, pieces[name].Round(100 * time.Nanosecond).String()})
		sum += pieces[name]
	}
	p.Value = perSecond(sum)
	return p
}

func perSecond(each time.Duration) int { return int(time.Second / max(each, 1)) }

// problem is what keeps connections from being the ones that were predicted.
func (m tlsMeasured) problem(o tlsOptions) string {
	resumed := 0
	if o.Resume {
		resumed = m.Connections - 1
	}
	if m.Resumed != resumed {
		return fmt.Sprintf("%d of %d handshakes were resumed, not %d", m.Resumed, m.Connections, resumed)
	}
	return ""
}

// tlsFindings: how much dearer than a plain connect, and whether the CPU or the
// ports give out first for one client of one server.
func (b *Bench) tlsFindings(ctx context.Context, plain, each time.Duration) ([]Finding, error) {
	ports, err := b.predictPorts(ctx, 1, 0)
	rate := float64(ports.Value) / timeWaitLength.Seconds()
	return []Finding{
		{"dearer than a plain connect", float64(each) / float64(max(plain, 1)), "times"},
		{"at the rate that ports allow (range / 60 s)", rate * each.Seconds(), "CPUs"},
	}, err
}
