package experiments

import (
	"context"
	"fmt"
	"math"
	"time"

	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "tls-handshakes", Group: Resources, Takes: 3 * time.Second,
		Question: "how many TLS handshakes a second does a CPU make, against plain connects?",
		Expect: "the CPU is the limit: 1 s / (a plain connect + the handshake's pieces, each measured by itself); " +
			"resumption saves the certificate's signature, chain and verification",
		Hooks: []string{"state"},
		Legs: func(s Size) []Leg {
			long := 100 * time.Millisecond
			if s.Full {
				long = 500 * time.Millisecond
			}
			return []Leg{
				handshakes("ECDSA P-256", long, tlsOptions{TLS: true}),
				handshakes("ECDSA P-256, resumed", long, tlsOptions{TLS: true, Resume: true}),
				handshakes("ECDSA P-256 and ML-KEM-768", long, tlsOptions{TLS: true, PostQuantum: true}),
				handshakes("RSA-2048", long, tlsOptions{TLS: true, RSA: true}),
				handshakes("without TLS", long, tlsOptions{}),
			}
		},
	})
}

// handshakes measures what a connection is made of, then connections. It counts
// the CPU time of the process that is both ends, so that neither waiting nor
// what else the machine does matters.
func handshakes(name string, long time.Duration, o tlsOptions) Leg {
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
			before, err = measureByHand.Run(ctx, b.Server, long)
			return err
		},
		Predict: func(context.Context, *Bench) (Prediction, error) { return predictHandshakes(o, before), nil },
		Push: func(ctx context.Context, b *Bench) (m Measurement, err error) {
			made, connections, err := b.steadyHandshakes(ctx, long, before)
			if err != nil {
				return m, err
			}
			each := made.atTheSpeedOf(before)
			m = Measurement{
				Value: perSecond(each), Endpoints: 2 * (before.Connections + connections), Problem: made.problem(o),
			}
			if m.Findings, err = b.tlsFindings(ctx, before.Pieces[connectPiece], each); err != nil {
				return m, err
			}
			m.Findings = append(m.Findings, Finding{"the CPU's speed meanwhile", 100 * made.speed(before), "% of before"})
			_, err = stopTLS.Run(ctx, b.Server, struct{}{})
			return m, err
		},
	}
}

// tries is how often a machine may turn out not to be steady.
const tries = 3

// steadyHandshakes measures until the same work by hand, done between the
// handshakes, takes about as long as it did before them. How far these are from
// what was predicted has no say in that.
func (b *Bench) steadyHandshakes(ctx context.Context, long time.Duration, before tlsByHand) (m tlsMeasured, connections int, err error) {
	for try := 1; ; try++ {
		if m, err = measureHandshakes.Run(ctx, b.Server, 2*long); err != nil {
			return m, 0, err
		}
		connections += m.Connections + m.ByHand.Connections
		if err = steady(before.Each, m.ByHand.Each); err == nil || try == tries {
			return m, connections, err
		}
	}
}

// speed is how fast the CPU was between the handshakes, of how fast it was before:
// what else the machine does, its clock and its emulation change that all the time.
func (m tlsMeasured) speed(before tlsByHand) float64 {
	return float64(before.Each) / float64(max(m.ByHand.Each, 1))
}

// atTheSpeedOf is what a connection would have taken before: the prediction is one
// for that speed.
func (m tlsMeasured) atTheSpeedOf(before tlsByHand) time.Duration {
	return time.Duration(float64(m.Each) * m.speed(before))
}

// handshakesWithin is how far from the prediction a rate may be, and steadyWithin
// how far the same work's time from one moment to the next.
const (
	handshakesWithin = 0.3
	steadyWithin     = 0.2
)

// steady: a machine where the same work takes another time from one moment to the
// next can neither confirm a prediction nor refute it. Emulated CPUs are such
// when their host has other work.
func steady(before, after time.Duration) error {
	if apart := float64(after)/float64(before) - 1; math.Abs(apart) > steadyWithin {
		return &unsteadyError{fmt.Sprintf("the CPU is not steady: the same work took it %v before and %v after", before, after)}
	}
	return nil
}

// predictHandshakes shows each piece beside their sum, which is a whole round's.
func predictHandshakes(o tlsOptions, byHand tlsByHand) Prediction {
	p := Prediction{
		Value: perSecond(byHand.Each), Unit: "connections a second of CPU", Formula: "1 s / connect", Within: handshakesWithin,
	}
	for _, name := range o.pieces() {
		p.Inputs = append(p.Inputs, Input{name, byHand.Pieces[name].Round(100 * time.Nanosecond).String()})
	}
	if len(p.Inputs) > 1 {
		p.Formula = "1 s / sum"
		p.Inputs = append(p.Inputs, Input{"sum", byHand.Each.Round(100 * time.Nanosecond).String()})
	}
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
