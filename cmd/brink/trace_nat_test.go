package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/otlp"
	"brink/experiments/lab"
	"brink/loader"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"
)

// strangers are two hosts that know each other by other addresses only: what the
// client calls the server is the router's inner side, and what the server calls
// the client is its outer side.
//
//	client .2 ── .1 inner  router  outer .1 ── .2 server
//	      to inner:8000 ──→ DNAT server:80, SNAT outer:5000-5999
type strangers struct {
	net            func(network, host int) netip.Prefix
	client, server *lab.Lab
}

func strangersIPv4() *strangers {
	return &strangers{net: func(network, host int) netip.Prefix {
		return netip.MustParsePrefix(fmt.Sprintf("10.%d.0.%d/24", network, host))
	}}
}

func strangersIPv6() *strangers {
	return &strangers{net: func(network, host int) netip.Prefix {
		return netip.MustParsePrefix(fmt.Sprintf("fd0%d::%d/64", network, host))
	}}
}

func (n *strangers) called() netip.AddrPort { return netip.AddrPortFrom(n.net(1, 1).Addr(), 8000) }
func (n *strangers) serves() netip.AddrPort { return netip.AddrPortFrom(n.net(2, 2).Addr(), 80) }

func (n *strangers) setUp(t *testing.T) {
	t.Helper()
	ctx, router := t.Context(), newLab(t)
	n.client, n.server = newLab(t), newLab(t)
	for _, err := range []error{
		n.client.Link(ctx, router, n.net(1, 2), n.net(1, 1)),
		n.server.Link(ctx, router, n.net(2, 2), n.net(2, 1)),
		n.client.AddRoute(ctx, n.net(2, 2), n.net(1, 1).Addr()),
		n.server.AddRoute(ctx, n.net(1, 2), n.net(2, 1).Addr()),
		router.SetSysctl(ctx, "net.ipv4.ip_forward", "1"),
		router.SetSysctl(ctx, "net.ipv6.conf.all.forwarding", "1"),
		router.SNAT(ctx, lab.NAT{Protocol: unix.IPPROTO_TCP, Port: n.serves().Port(), To: n.net(2, 1).Addr(), Low: 5000, High: 5999}),
		n.dnat(router),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dnat is `meta l4proto tcp th dport 8000 dnat to SERVER:80` before routing.
func (n *strangers) dnat(router *lab.Lab) error {
	ns, err := os.Open(router.NetnsPath())
	if err != nil {
		return err
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return err
	}
	family, proto := nftables.TableFamilyIPv4, uint32(unix.NFPROTO_IPV4)
	if n.serves().Addr().Is6() {
		family, proto = nftables.TableFamilyIPv6, unix.NFPROTO_IPV6
	}
	table := conn.AddTable(&nftables.Table{Family: family, Name: "inward"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	port := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: port(n.called().Port())},
		&expr.Immediate{Register: 1, Data: n.serves().Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: port(n.serves().Port())},
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: proto,
			RegAddrMin: 1, RegProtoMin: 2, RegProtoMax: 2, Specified: true,
		},
	}})
	return conn.Flush()
}

// connect opens and closes connections; the client closes first.
func (n *strangers) connect(t *testing.T, count int) {
	t.Helper()
	ctx := t.Context()
	server, client := newWorker(t, n.server, lab.WorkerOptions{}), newWorker(t, n.client, lab.WorkerOptions{})
	must[lab.Socket](t)(server.Listen(ctx, lab.ListenOptions{Addr: n.serves(), Accept: true, CloseOnEOF: true}))
	r := must[lab.ConnectResult](t)(client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{n.called()}, Count: count}))
	if r.Opened != count {
		t.Fatalf("%d connections of %d: %v", r.Opened, count, r.Errno)
	}
	must[int](t)(client.CloseSockets(ctx, r.Sockets, lab.CloseNormally))
}

// TestOneTraceFromTwoHosts: each host's brink has seen its own end only, under
// addresses that the other has never heard of. The spans make one trace, and of
// the same connections on both.
func TestOneTraceFromTwoHosts(t *testing.T) {
	needRoot(t)
	const connections = 200
	for name, hosts := range map[string]*strangers{"IPv4": strangersIPv4(), "IPv6": strangersIPv6()} {
		t.Run(name, func(t *testing.T) {
			hosts.setUp(t)
			tr := startTracing(t, loader.Options{Filter: loader.Filter{Netns: []uint32{hosts.client.Netns(), hosts.server.Netns()}}})
			hosts.connect(t, connections)
			clients, servers := tr.ends(t, hosts.client, connections), tr.ends(t, hosts.server, connections)
			for _, ratio := range []string{"1", "0.4"} {
				checkOneTrace(t, hosts, ratio, spansOf(t, ratio, clients), spansOf(t, ratio, servers))
			}
		})
	}
}

// TestKernelSamplesAlike: the kernel programs keep the connections that the
// exporter keeps, at both ends, and no other one.
func TestKernelSamplesAlike(t *testing.T) {
	needRoot(t)
	const connections, ratio = 300, 0.4
	hosts := strangersIPv4()
	hosts.setUp(t)
	filter := loader.Filter{Netns: []uint32{hosts.client.Netns(), hosts.server.Netns()}}
	every := startTracing(t, loader.Options{Filter: filter})
	sample := startTracing(t, loader.Options{Filter: filter, Tally: true, SampleRatio: ratio})
	hosts.connect(t, connections)
	for name, host := range map[string]*lab.Lab{"client": hosts.client, "server": hosts.server} {
		want, got := map[uint64]bool{}, map[uint64]bool{}
		for _, f := range every.ends(t, host, connections) {
			if c, ok := f.(*collector.Connection); ok {
				if key := otlp.Mixed(c.InitialLocal, c.InitialPeer); key>>1 < otlp.Bound(ratio) {
					want[key] = true
				}
			}
		}
		for _, f := range sample.ends(t, host, len(want)) {
			if c, ok := f.(*collector.Connection); ok {
				got[otlp.Mixed(c.InitialLocal, c.InitialPeer)] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the kernel kept %d, the exporter would keep %d", name, len(got), len(want))
		}
		t.Logf("%s: the kernel kept %d of %d", name, len(got), connections)
	}
}

// ends are what was told of a host, when so many connections have ended there.
func (tr *tracing) ends(t *testing.T, host *lab.Lab, count int) (facts []collector.Fact) {
	t.Helper()
	ours := func(c *collector.Connection) bool { return c.Netns == host.Netns() }
	for deadline := time.Now().Add(10 * time.Second); len(of(tr.capture, ours)) < count; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections told of %d", len(of(tr.capture, ours)), count)
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, f := range tr.facts {
		switch f := f.(type) {
		case *collector.Connection:
			if ours(f) {
				facts = append(facts, f)
			}
		case *collector.TimeWait:
			if f.Netns == host.Netns() {
				facts = append(facts, f)
			}
		}
	}
	return facts
}

// spansOf has one host's exporter make spans, at a ratio, and reads them back.
func spansOf(t *testing.T, ratio string, facts []collector.Fact) map[string][]ptrace.Span {
	t.Helper()
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "OTEL_") {
			t.Setenv(key, "")
		}
	}
	t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
	file := filepath.Join(t.TempDir(), "spans.otlp.jsonl")
	e := must[*otlp.Exporter](t)(otlp.New(t.Context(), otlp.Options{File: file}))
	for _, f := range facts {
		e.Accept(f)
	}
	if err := e.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	byName := map[string][]ptrace.Span{}
	for line := range bytes.Lines(must[[]byte](t)(os.ReadFile(file))) {
		traces := must[ptrace.Traces](t)((&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line))
		for _, r := range traces.ResourceSpans().All() {
			for _, s := range r.ScopeSpans().All() {
				for _, span := range s.Spans().All() {
					byName[span.Name()] = append(byName[span.Name()], span)
				}
			}
		}
	}
	return byName
}

func checkOneTrace(t *testing.T, hosts *strangers, ratio string, there, here map[string][]ptrace.Span) {
	t.Helper()
	clients, servers := there["tcp client connection"], here["tcp server connection"]
	t.Logf("ratio %s: %d client spans, %d server spans", ratio, len(clients), len(servers))
	if len(clients) == 0 || len(clients) != len(servers) {
		t.Fatalf("ratio %s: %d client spans and %d server spans", ratio, len(clients), len(servers))
	}
	byID := map[string]ptrace.Span{}
	for _, c := range clients {
		byID[c.SpanID().String()] = c
		if !c.ParentSpanID().IsEmpty() || c.Kind() != ptrace.SpanKindClient || peerOf(c) != hosts.called().String() {
			t.Fatalf("client span: parent %v, kind %v, peer %s", c.ParentSpanID(), c.Kind(), peerOf(c))
		}
	}
	for _, s := range servers {
		c, ok := byID[s.ParentSpanID().String()]
		peer := netip.MustParseAddrPort(peerOf(s))
		switch {
		case !ok || s.TraceID() != c.TraceID():
			t.Fatalf("a server's span in trace %v is below %v: no client's span", s.TraceID(), s.ParentSpanID())
		case s.Kind() != ptrace.SpanKindServer:
			t.Fatalf("the server's kind is %v", s.Kind())
		case peer.Addr() != hosts.net(2, 1).Addr() || peer.Port() < 5000 || peer.Port() > 5999:
			t.Fatalf("the server sees %v: not translated", peer)
		}
		delete(byID, s.ParentSpanID().String()) // one server's for each client's
	}
	checkTimeWaits(t, clients, there["tcp time_wait"])
}

// checkTimeWaits: the client closed first, so each of its connections has one.
func checkTimeWaits(t *testing.T, clients, timeWaits []ptrace.Span) {
	t.Helper()
	traces := map[string]string{}
	for _, c := range clients {
		traces[c.SpanID().String()] = c.TraceID().String()
	}
	for _, w := range timeWaits {
		if traces[w.ParentSpanID().String()] != w.TraceID().String() {
			t.Fatalf("a TIME_WAIT in trace %v is below %v: no connection", w.TraceID(), w.ParentSpanID())
		}
	}
	if len(timeWaits) != len(clients) {
		t.Errorf("%d TIME_WAITs of %d connections", len(timeWaits), len(clients))
	}
}

func peerOf(s ptrace.Span) string {
	address, _ := s.Attributes().Get(collector.KeyPeerAddress)
	port, _ := s.Attributes().Get(collector.KeyPeerPort)
	return netip.AddrPortFrom(netip.MustParseAddr(address.Str()), uint16(port.Int())).String()
}
