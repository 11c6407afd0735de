package otlp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"
)

const labNetns, otherNetns = 4026532000, 4026532999

func TestExperiment(t *testing.T) {
	environment(t, nil)
	var trace string
	spans := exported(t, func(e *Exporter) {
		x := e.StartExperiment("ephemeral-ports", attribute.Int("brink.predicted", 200))
		leg := x.StartLeg("narrow range", attribute.Int("low", 40000))
		trace = x.SpanContext().TraceID().String()
		e.Adopt(labNetns, leg)
		tellLab(t, e, labNetns)
		leg.End(nil, attribute.Int("brink.measured", 200))
		e.Release(labNetns)
		outsider := client()
		outsider.netns, outsider.isnLocal = labNetns, 1
		outsider.tell(t, e.Accept)
		x.End(errors.New("refuted"))
	})
	x, leg := one(t, spans, "experiment ephemeral-ports"), one(t, spans, "leg narrow range")
	isRoot(t, x)
	isChild(t, leg, x)
	if hex.EncodeToString(x.TraceId) != trace {
		t.Errorf("trace %x, want %s as SpanContext said", x.TraceId, trace)
	}
	checkLab(t, spans, leg)
	checkOutcome(t, x, leg)
}

// tellLab tells of both ends of a connection and of all else in a namespace.
func tellLab(t *testing.T, e *Exporter, netns uint32) {
	c, s, hit, conflict := client(), server(), aLimitHit(), aBindConflict()
	c.netns, s.netns, hit.Netns, conflict.Netns = netns, netns, netns, netns
	c.timeWait = true
	c.tell(t, e.Accept)
	s.tell(t, e.Accept)
	e.Accept(hit)
	e.Accept(conflict)
	c.step(t, leave, afterTimeWait, e.Accept)
}

func checkLab(t *testing.T, spans []*tracepb.Span, leg *tracepb.Span) {
	clients := named(spans, "tcp client connection")
	if len(clients) != 2 {
		t.Fatalf("%d clients, want the lab's and one after it was released", len(clients))
	}
	isChild(t, clients[0], leg)
	isChild(t, one(t, spans, "tcp server connection"), clients[0])
	isChild(t, one(t, spans, "tcp time_wait"), clients[0])
	isChild(t, one(t, spans, "limit_hit ephemeral_ports"), leg)
	isChild(t, one(t, spans, "bind_conflict"), leg)
	isRoot(t, clients[1])
}

func checkOutcome(t *testing.T, x, leg *tracepb.Span) {
	if x.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || x.Status.GetMessage() != "refuted" {
		t.Errorf("the experiment's status is %v", x.Status)
	}
	if leg.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("the leg's status is %v", leg.Status)
	}
	for _, want := range []struct {
		span       *tracepb.Span
		key, value string
	}{
		{x, "brink.experiment", "ephemeral-ports"}, {x, "brink.predicted", "200"}, {x, "error.type", "_OTHER"},
		{leg, "brink.leg", "narrow range"}, {leg, "low", "40000"}, {leg, "brink.measured", "200"},
	} {
		if got := attributeOf(want.span, want.key); got != want.value {
			t.Errorf("%q: %s is %q, want %q", want.span.Name, want.key, got, want.value)
		}
	}
}

// TestServersWithoutClient: where no client is known, because the server's end
// never established, it hangs below the leg.
func TestServersWithoutClient(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		x := e.StartExperiment("syn-queue")
		leg := x.StartLeg("flood")
		e.Adopt(labNetns, leg)
		s := server()
		s.netns, s.neverEstablished, s.isnLocal, s.isnPeer = labNetns, true, 0, 0
		s.tell(t, e.Accept)
		s.netns = otherNetns
		s.tell(t, e.Accept)
		leg.End(nil)
		x.End(nil)
	})
	servers := named(spans, "tcp server connection")
	if len(servers) != 2 {
		t.Fatalf("spans %q, want two servers", namesOf(spans))
	}
	isChild(t, servers[0], one(t, spans, "leg flood"))
	isRoot(t, servers[1])
}

func TestUnknownNamespaceIsNotAdopted(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		x := e.StartExperiment("x")
		e.Adopt(0, x)
		client().tell(t, e.Accept)
		x.End(nil)
	})
	isRoot(t, one(t, spans, "tcp client connection"))
}

func TestErrorTypeIsTheErrnos(t *testing.T) {
	if got := errorType(fmt.Errorf("set up lab: %w", unix.EPERM)); got != "operation_not_permitted" {
		t.Errorf("got %q", got)
	}
}
