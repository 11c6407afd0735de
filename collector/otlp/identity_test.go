package otlp

import (
	"math/rand/v2"
	"testing"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/trace"
)

// connectionOf is the fact that the collector makes of an end.
func connectionOf(t testing.TB, e end) (c collector.Connection) {
	t.Helper()
	told := false
	e.tell(t, func(f collector.Fact) {
		if f, ok := f.(*collector.Connection); ok {
			c, told = *f, true
		}
	})
	if !told {
		t.Fatal("the collector told of no connection")
	}
	return c
}

func TestBothEndsAgreeThroughNAT(t *testing.T) {
	c, s := connectionOf(t, client()), connectionOf(t, server())
	if c.Local.Port() == s.Peer.Port() || c.Peer.Port() == s.Local.Port() {
		t.Fatal("the ends do not differ as through NAT")
	}
	trace1, client, none := Identity(&c)
	trace2, server, parent := Identity(&s)
	switch {
	case trace1 != trace2:
		t.Errorf("traces %v and %v", trace1, trace2)
	case parent != client:
		t.Errorf("the server's parent is %v, the client's span %v", parent, client)
	case client == server:
		t.Errorf("both spans are %v", client)
	case none.IsValid():
		t.Errorf("the client's parent is %v", none)
	}
}

// TestIdentityIsStable pins the derivation: another version of brink on the
// other host has to come to the same.
func TestIdentityIsStable(t *testing.T) {
	c := connectionOf(t, server())
	id, span, parent := Identity(&c)
	got := [...]string{id.String(), span.String(), parent.String()}
	want := [...]string{"6503913f94dee81e35ffb5a6b5a19e00", "efcba3514bdda18f", "7f2e3797b38d6235"}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOtherPairsOfEnds(t *testing.T) {
	for _, test := range []struct {
		name   string
		a, b   collector.Role
		la, lb uint32
	}{
		{"simultaneous open", collector.RoleClient, collector.RoleClient, 7, 9},
		{"one end older than brink", collector.RoleUnknown, collector.RoleServer, 7, 9},
		{"both ends older", collector.RoleUnknown, collector.RoleUnknown, 7, 9},
		{"a number is zero", collector.RoleClient, collector.RoleServer, 0, 9},
		{"the same number", collector.RoleClient, collector.RoleServer, 7, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := collector.Connection{Role: test.a, InitialLocal: test.la, InitialPeer: test.lb}
			b := collector.Connection{Role: test.b, InitialLocal: test.lb, InitialPeer: test.la}
			trace1, span1, _ := Identity(&a)
			trace2, span2, parent := Identity(&b)
			if trace1 != trace2 || span1 == span2 {
				t.Errorf("%v/%v and %v/%v, want one trace and two spans", trace1, span1, trace2, span2)
			}
			if test.b == collector.RoleServer && parent != span1 {
				t.Errorf("the server's parent is %v, want %v", parent, span1)
			}
		})
	}
}

func TestConnectionsDiffer(t *testing.T) {
	const n = 20_000
	random := rand.New(rand.NewPCG(1, 2))
	traces, spans := map[trace.TraceID]bool{}, map[trace.SpanID]bool{}
	for range n {
		local, peer := random.Uint32(), random.Uint32()
		for role, c := range []collector.Connection{
			{Role: collector.RoleClient, InitialLocal: local, InitialPeer: peer},
			{Role: collector.RoleServer, InitialLocal: peer, InitialPeer: local},
		} {
			id, span, _ := Identity(&c)
			if !id.IsValid() || !span.IsValid() {
				t.Fatalf("%v, %v: invalid", id, span)
			}
			if traces[id] != (role == 1) || spans[span] {
				t.Fatalf("%v, %v: seen before (or the server's not after the client's)", id, span)
			}
			traces[id], spans[span] = true, true
		}
	}
}

func TestNeverEstablishedIsAlone(t *testing.T) {
	c := connectionOf(t, refused())
	id, span, parent := Identity(&c)
	if again, sameSpan, _ := Identity(&c); again != id || sameSpan != span {
		t.Error("two sinks would give the same connection two identities")
	}
	if parent.IsValid() || !id.IsValid() || !span.IsValid() {
		t.Errorf("%v, %v, parent %v", id, span, parent)
	}
	later := c
	later.Start = c.Start.Add(time.Nanosecond)
	if other, _, _ := Identity(&later); other == id {
		t.Error("two attempts have the same identity")
	}
}

func TestIdsAreNeverZero(t *testing.T) {
	id, first, second := cutIdentity([32]byte{})
	if !id.IsValid() || !first.IsValid() || !second.IsValid() || first == second {
		t.Errorf("%v, %v, %v", id, first, second)
	}
	var g generator
	if id, span := g.NewIDs(t.Context()); !id.IsValid() || !span.IsValid() {
		t.Errorf("%v, %v", id, span)
	}
}

func BenchmarkIdentity(b *testing.B) {
	c := collector.Connection{Role: collector.RoleServer, InitialLocal: 1, InitialPeer: 2}
	b.ReportAllocs()
	for b.Loop() {
		c.InitialLocal++
		Identity(&c)
	}
}
