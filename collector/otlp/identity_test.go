package otlp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"brink/collector"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
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
	want := [...]string{"e5f910740a5de7c03295c2ee3ce06fe6", "672e04e8d629366b", "1579af9c1ae11ecc"}
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
	for _, x := range []int64{0, -1, -2, -3, -4} {
		x := uint64(x) * increment // mixes to 0 in one of the four
		id, lower, upper := identityOf(x)
		if !id.IsValid() || !lower.IsValid() || !upper.IsValid() || lower == upper {
			t.Errorf("%x: %v, %v, %v", x, id, lower, upper)
		}
	}
}

// TestMixed: the same from both ends, and the end of the trace ID.
func TestMixed(t *testing.T) {
	c, s := connectionOf(t, client()), connectionOf(t, server())
	id, _, _ := Identity(&c)
	key := Mixed(c.InitialLocal, c.InitialPeer)
	if key != Mixed(s.InitialLocal, s.InitialPeer) || key != sampleKey(id) {
		t.Errorf("%x and %x, of trace %v", key, Mixed(s.InitialLocal, s.InitialPeer), id)
	}
	// SplitMix64's first number of the seed 0, as its authors give it
	if got := Mixed(0, 0); got != 0xe220a8397b1dcdaf {
		t.Errorf("%x is not SplitMix64's", got)
	}
}

// TestSampleIsEven: sequence numbers that count up (the kernel adds a clock to
// its hash), that differ in one bit, or are random: each tenth of the keys gets
// a tenth of them, and as the SDK's sampler decides, so does brink.
func TestSampleIsEven(t *testing.T) {
	const n = 1 << 16
	random := rand.New(rand.NewPCG(7, 8))
	for name, pair := range map[string]func(i uint32) (uint32, uint32){
		"random":   func(uint32) (uint32, uint32) { return random.Uint32(), random.Uint32() },
		"counting": func(i uint32) (uint32, uint32) { return 1000 + i, 5_000_000 + 64*i },
		"one side": func(i uint32) (uint32, uint32) { return i, 1 << 31 },
		"bits":     func(i uint32) (uint32, uint32) { return i << 16, i<<16 ^ 1<<(i%16) },
	} {
		var tenths [10]int
		for i := range uint32(n) {
			key := Mixed(pair(i))
			tenths[key>>1/(1<<63/10+1)]++
			id, _, _ := identityOf(1)
			binary.BigEndian.PutUint64(id[8:], key)
			const ratio = 0.37
			sdk := sdktrace.TraceIDRatioBased(ratio).ShouldSample(sdktrace.SamplingParameters{
				ParentContext: t.Context(), TraceID: id,
			}).Decision == sdktrace.RecordAndSample
			if sdk != inSample(key, Bound(ratio)) {
				t.Fatalf("%s: the SDK says %v of %x", name, sdk, key)
			}
		}
		// ±5 standard deviations of a binomial distribution
		const mean, far = n / 10, 5 * 77
		for i, count := range tenths {
			if count < mean-far || count > mean+far {
				t.Errorf("%s: %d keys in tenth %d, want %d ± %d", name, count, i, mean, far)
			}
		}
	}
}

func TestBound(t *testing.T) {
	for ratio, want := range map[float64]uint64{0: 0, 0.5: 1 << 62, 1: 1 << 63} {
		if got := Bound(ratio); got != want {
			t.Errorf("%v: %x, want %x", ratio, got, want)
		}
	}
	if !inSample(1<<64-1, Bound(1)) || inSample(0, Bound(0)) {
		t.Error("1 does not keep all, or 0 keeps some")
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
