package otlp

import (
	"math/rand/v2"
	"os"
	"testing"

	"brink/collector"

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

// TestIsRefusal: what is exempt from sampling, and what must not flood a backend.
func TestIsRefusal(t *testing.T) {
	const refused, other = true, false
	neverClient := func(errno unix.Errno, f collector.Failure) end {
		e := client()
		e.neverEstablished, e.isnLocal, e.isnPeer, e.errno, e.failure = true, 0, 0, errno, f
		return e
	}
	stood := func(e end, errno unix.Errno, f collector.Failure) end {
		e.errno, e.failure = errno, f
		return e
	}
	neverServer := stood(server(), unix.ECONNRESET, collector.Reset)
	neverServer.neverEstablished = true
	silent := stood(server(), unix.ETIMEDOUT, collector.SYNTimeout)
	silent.neverEstablished = true
	raced, gaveUp := neverClient(0, 0), neverClient(0, 0)
	raced.abandoned, gaveUp.abandoned, gaveUp.retransmits = true, true, 1
	old := stood(client(), unix.ETIMEDOUT, collector.RetransmissionTimeout)
	old.role, old.preexisting = collector.RoleUnknown, true
	oldReset := old
	oldReset.errno, oldReset.failure = unix.ECONNRESET, collector.Reset

	for _, test := range []struct {
		name string
		of   end
		want bool
	}{
		{"in order", client(), other},
		{"a server's, in order", server(), other},
		{"connect refused", neverClient(unix.ECONNREFUSED, collector.Refused), refused},
		{"connect reset", neverClient(unix.ECONNRESET, collector.Reset), refused},
		{"connect timed out", neverClient(unix.ETIMEDOUT, collector.SYNTimeout), refused},
		{"connect without a port", neverClient(unix.EADDRNOTAVAIL, collector.NoPort), refused},
		{"connect unreachable", neverClient(unix.EHOSTUNREACH, collector.Unreachable), refused},
		{"connect given up unanswered", gaveUp, refused},
		{"connect that lost a race", raced, other},
		{"retransmissions timed out", stood(client(), unix.ETIMEDOUT, collector.RetransmissionTimeout), refused},
		{"a server's probes timed out", stood(server(), unix.ETIMEDOUT, collector.ProbeTimeout), refused},
		{"reset", stood(client(), unix.ECONNRESET, collector.Reset), other},
		{"a server's, reset", stood(server(), unix.ECONNRESET, collector.Reset), other},
		{"reset after the peer's FIN", stood(server(), unix.EPIPE, collector.Reset), other},
		{"a server's that never stood, reset", neverServer, other},
		{"a server's that never stood, silent", silent, other},
		{"older than brink, timed out", old, refused},
		{"older than brink, reset", oldReset, other},
	} {
		c := connectionOf(t, test.of)
		if got := isRefusal(&c); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestResetsDoNotFlood: what connections-at-scale leaves behind, a million ends
// that were reset, is sampled as anything else.
func TestResetsDoNotFlood(t *testing.T) {
	environment(t, nil)
	const n = 20_000
	e := newExporter(t, Options{File: os.DevNull, DefaultRatio: 0.01})
	c := connectionOf(t, server())
	c.Errno, c.Failure = unix.ECONNRESET, collector.Reset
	for range n {
		c.InitialLocal++
		e.Accept(&c)
	}
	if made := e.Stats().Made; made < n/200 || made > n/50 {
		t.Errorf("%d spans of %d, want a hundredth", made, n)
	}
	shutdown(t, e)
}

// TestDefaultRatio: the agent's is 1 %, and the environment's word wins.
func TestDefaultRatio(t *testing.T) {
	for _, test := range []struct {
		sampler, argument string
		otherwise, want   float64
	}{
		{"", "", 0, 1},
		{"", "", 0.01, 0.01},
		{"", "0.5", 0.01, 0.01}, // an argument of no sampler
		{"always_on", "", 0.01, 1},
		{"parentbased_always_off", "", 0.01, 0},
		{"TraceIDRatio", "0.25", 0.01, 0.25},
		{"traceidratio", "", 0.01, 1},
	} {
		environment(t, map[string]string{"OTEL_TRACES_SAMPLER": test.sampler, "OTEL_TRACES_SAMPLER_ARG": test.argument})
		e := newExporter(t, Options{DefaultRatio: test.otherwise})
		if e.Ratio() != test.want {
			t.Errorf("%+v: %v", test, e.Ratio())
		}
	}
}

// TestKeptWithWhatIsKept: an experiment's spans, and the TIME_WAIT of a
// connection that was kept because its network died.
func TestKeptWithWhatIsKept(t *testing.T) {
	spans := sampledBy(t, "always_off", "", func(e *Exporter) {
		x := e.StartExperiment("x")
		x.StartLeg("y").End(nil)
		x.End(nil)
		dead := lingering()
		dead.errno, dead.failure = unix.ETIMEDOUT, collector.ProbeTimeout
		dead.tell(t, e.Accept)
		dead.step(t, leave, afterTimeWait, e.Accept)
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
