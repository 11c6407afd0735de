package otlp

import (
	"encoding/hex"
	"testing"
	"time"

	"brink/collector"

	"golang.org/x/sys/unix"
)

func failures() *collector.ConnectFailures {
	return &collector.ConnectFailures{
		Time: at(9 * time.Second), Failure: collector.Refused, Errno: unix.ECONNREFUSED,
		Count: 4321, Netns: otherNetns, Owner: collector.Owner{PID: 12},
	}
}

// TestSpanOf: what an exemplar would point at is there.
func TestSpanOf(t *testing.T) {
	for _, netns := range []uint32{otherNetns, labNetns} { // alone, and below a leg
		environment(t, nil)
		told := map[string]collector.Fact{}
		ids := map[string]string{}
		spans := exported(t, func(e *Exporter) {
			x := e.StartExperiment("x")
			e.Adopt(labNetns, x)
			hit, conflict, storm, c := aLimitHit(), aBindConflict(), failures(), connectionOf(t, client())
			hit.Netns, conflict.Netns, storm.Netns, c.Netns = netns, netns, netns, netns
			told["limit_hit ephemeral_ports"], told["bind_conflict"] = hit, conflict
			told["connect_failures"], told["tcp client connection"] = storm, &c
			for name, f := range told {
				ids[name] = e.SpanOf(f).TraceID().String() + " " + e.SpanOf(f).SpanID().String()
				e.Accept(f)
			}
			x.End(nil)
		})
		for name, want := range ids {
			s := one(t, spans, name)
			if got := hex.EncodeToString(s.TraceId) + " " + hex.EncodeToString(s.SpanId); got != want {
				t.Errorf("%s is %s, SpanOf says %s", name, got, want)
			}
		}
	}
}

func TestSpanOfNothing(t *testing.T) {
	environment(t, map[string]string{"OTEL_TRACES_SAMPLER": "always_off"})
	off := newExporter(t, Options{File: t.TempDir() + "/f"})
	c := connectionOf(t, client())
	for _, f := range []collector.Fact{&c, &collector.TimeWait{}, &collector.StateChange{}} {
		if s := off.SpanOf(f); s.IsValid() {
			t.Errorf("%T: %v, but there is no span", f, s)
		}
	}
	if !off.SpanOf(aLimitHit()).IsSampled() {
		t.Error("a limit hit's span is always there")
	}
	shutdown(t, off)
	environment(t, nil)
	if s := newExporter(t, Options{}).SpanOf(aLimitHit()); s.IsValid() {
		t.Errorf("%v, but nothing is exported", s)
	}
}

// TestHitsDiffer: two refusals never share a span.
func TestHitsDiffer(t *testing.T) {
	environment(t, nil)
	e := newExporter(t, Options{File: t.TempDir() + "/f"})
	seen := map[string]int{}
	for i, change := range []func(*collector.LimitHit){
		func(*collector.LimitHit) {},
		func(h *collector.LimitHit) { h.Time = h.Time.Add(1) },
		func(h *collector.LimitHit) { h.Limit++ },
		func(h *collector.LimitHit) { h.Owner.PID++ },
		func(h *collector.LimitHit) { h.Netns++ },
		func(h *collector.LimitHit) { h.Peer = clientAddress },
		func(h *collector.LimitHit) { h.Local = clientAddress },
	} {
		h := aLimitHit()
		change(h)
		id := e.SpanOf(h).SpanID().String()
		if other, ok := seen[id]; ok {
			t.Errorf("hits %d and %d have one span", other, i)
		}
		seen[id] = i
	}
	shutdown(t, e)
}

func TestConnectFailures(t *testing.T) {
	environment(t, map[string]string{"OTEL_TRACES_SAMPLER": "always_off"})
	spans := exported(t, func(e *Exporter) { e.Accept(failures()) })
	s := one(t, spans, "connect_failures")
	isRoot(t, s)
	compare(t, s, `INTERNAL 9s..9s ERROR "ECONNREFUSED"
brink.count=4321
brink.errno=ECONNREFUSED
brink.failure=refused
brink.netns=4026532999
error.type=connection_refused
process.pid=12
process.user.id=0`)
}

// TestFlags: a server's parent may be remote, and a leg's is not.
func TestFlags(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		x := e.StartExperiment("x")
		x.StartLeg("y").End(nil)
		x.End(nil)
		client().tell(t, e.Accept)
		server().tell(t, e.Accept)
	})
	for name, want := range map[string]uint32{
		"experiment x": 0x101, "leg y": 0x101, "tcp client connection": 0x101, "tcp server connection": 0x301,
	} {
		if s := one(t, spans, name); s.Flags != want {
			t.Errorf("%s has flags %#x, want %#x", name, s.Flags, want)
		}
	}
}

// TestKeysAreUnique: OTLP wants each attribute once.
func TestKeysAreUnique(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) { tellAll(t, e); e.Accept(failures()) })
	for _, s := range spans {
		seen := map[string]bool{}
		for _, kv := range s.Attributes {
			if seen[kv.Key] {
				t.Errorf("%s has %s twice", s.Name, kv.Key)
			}
			seen[kv.Key] = true
		}
	}
}
