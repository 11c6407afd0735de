package otlp

import (
	"math/rand/v2"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"
)

// pairs tells both ends of n connections with random sequence numbers.
func pairs(t *testing.T, e *Exporter, n int) {
	random := rand.New(rand.NewPCG(3, 4))
	for range n {
		c, s := client(), server()
		c.isnLocal, c.isnPeer = random.Uint32(), random.Uint32()
		s.isnLocal, s.isnPeer = c.isnPeer, c.isnLocal
		c.timeWait = true
		c.tell(t, e.Accept)
		s.tell(t, e.Accept)
		c.step(t, leave, afterTimeWait, e.Accept)
	}
}

func sampledBy(t *testing.T, name, argument string, work func(*Exporter)) []*tracepb.Span {
	environment(t, map[string]string{"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument})
	return exported(t, work)
}

func TestRatioDecidesAlikeForBothEnds(t *testing.T) {
	const n = 400
	for _, name := range []string{"traceidratio", "parentbased_traceidratio"} {
		t.Run(name, func(t *testing.T) {
			spans := sampledBy(t, name, "0.5", func(e *Exporter) { pairs(t, e, n) })
			clients := bySpanID(named(spans, "tcp client connection"))
			if len(clients) < n/4 || len(clients) > n*3/4 {
				t.Fatalf("%d of %d connections kept at a ratio of 0.5", len(clients), n)
			}
			for _, name := range []string{"tcp server connection", "tcp time_wait"} {
				children := named(spans, name)
				if len(children) != len(clients) {
					t.Errorf("%d of %q, %d clients", len(children), name, len(clients))
				}
				for _, s := range children {
					if clients[string(s.ParentSpanId)] == nil {
						t.Errorf("%q was kept without its client", name)
					}
				}
			}
		})
	}
}

func TestRefusalsAreAlwaysKept(t *testing.T) {
	for _, off := range []string{"always_off", "parentbased_always_off"} {
		t.Run(off, func(t *testing.T) {
			spans := sampledBy(t, off, "", func(e *Exporter) { tellAll(t, e) })
			for _, s := range spans {
				if s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
					t.Errorf("%q was kept", s.Name)
				}
			}
			one(t, spans, "limit_hit ephemeral_ports")
			one(t, spans, "bind_conflict")
			one(t, spans, "tcp client connection")
		})
	}
}

// TestKeptWithWhatIsKept: an experiment's spans, and the TIME_WAIT of a
// connection that was kept as an error.
func TestKeptWithWhatIsKept(t *testing.T) {
	spans := sampledBy(t, "always_off", "", func(e *Exporter) {
		x := e.StartExperiment("x")
		x.StartLeg("y").End(nil)
		x.End(nil)
		reset := lingering()
		reset.errno = unix.ECONNRESET
		reset.tell(t, e.Accept)
		reset.step(t, leave, afterTimeWait, e.Accept)
	})
	isChild(t, one(t, spans, "leg y"), one(t, spans, "experiment x"))
	isChild(t, one(t, spans, "tcp time_wait"), one(t, spans, "tcp client connection"))
}

// TestRatioWithinAnExperiment: its own spans are kept, its connections are
// sampled as they would be outside of it, and not all or none.
func TestRatioWithinAnExperiment(t *testing.T) {
	const n = 200
	spans := sampledBy(t, "traceidratio", "0.5", func(e *Exporter) {
		x := e.StartExperiment("ratio")
		leg := x.StartLeg("only")
		e.Adopt(labNetns, leg)
		random := rand.New(rand.NewPCG(5, 6))
		for range n {
			c := client()
			c.netns, c.isnLocal = labNetns, random.Uint32()
			c.tell(t, e.Accept)
		}
		leg.End(nil)
		x.End(nil)
	})
	leg := one(t, spans, "leg only")
	isChild(t, leg, one(t, spans, "experiment ratio"))
	clients := named(spans, "tcp client connection")
	if len(clients) < n/4 || len(clients) > n*3/4 {
		t.Fatalf("%d of %d connections kept at a ratio of 0.5", len(clients), n)
	}
	for _, c := range clients {
		isChild(t, c, leg)
	}
}

func bySpanID(spans []*tracepb.Span) map[string]*tracepb.Span {
	m := map[string]*tracepb.Span{}
	for _, s := range spans {
		m[string(s.SpanId)] = s
	}
	return m
}
