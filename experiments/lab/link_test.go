package lab

import (
	"net/netip"
	"testing"
)

func TestAddAddress(t *testing.T) {
	for name, address := range map[string]string{"IPv4": "10.9.8.7/32", "IPv6": "fd00:9::7/128"} {
		t.Run(name, func(t *testing.T) {
			l, ctx, p := newLab(t, Options{}), deadline(t), netip.MustParsePrefix(address)
			w := newWorker(t, l, WorkerOptions{})
			_, err := w.Bind(ctx, BindOptions{Addr: port(p.Addr(), 0)})
			wantErrno(t, err, "EADDRNOTAVAIL")
			noError(t, l.AddAddress(ctx, p))
			noError(t, l.AddAddress(ctx, p)) // it has it already
			s := must(w.Listen(ctx, ListenOptions{Addr: port(p.Addr(), 0), Accept: true, Greet: true}))(t)
			c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, From: port(p.Addr(), 0), Greeting: true, Locals: true}))(t)
			equal(t, "greeting", c.Greetings[0], Greeting{Server: s.Addr, Client: c.Locals[0]})
		})
	}
}

// client ─ router ─ server: two links and a route in each direction.
func TestLinksAndRoutes(t *testing.T) {
	for _, test := range []struct{ name, client, routerC, routerS, server, forward string }{
		{"IPv4", "10.1.0.2/24", "10.1.0.1/24", "10.2.0.1/24", "10.2.0.2/24", "net.ipv4.ip_forward"},
		{"IPv6", "fd01::2/64", "fd01::1/64", "fd02::1/64", "fd02::2/64", "net.ipv6.conf.all.forwarding"},
	} {
		for _, userNS := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				ctx := deadline(t)
				router := newLab(t, Options{UserNamespace: userNS})
				client, server := newLab(t, Options{Beside: router}), newLab(t, Options{Beside: router})
				prefix := netip.MustParsePrefix
				noError(t, client.Link(ctx, router, prefix(test.client), prefix(test.routerC)))
				noError(t, server.Link(ctx, router, prefix(test.server), prefix(test.routerS)))
				noError(t, router.SetSysctl(ctx, test.forward, "1"))
				noError(t, client.AddRoute(ctx, prefix(test.server), prefix(test.routerC).Addr()))
				noError(t, server.AddRoute(ctx, prefix(test.client), prefix(test.routerS).Addr()))

				far := newWorker(t, server, WorkerOptions{})
				s := must(far.Listen(ctx, ListenOptions{Addr: port(prefix(test.server).Addr(), 80), Accept: true, Greet: true}))(t)
				near := newWorker(t, client, WorkerOptions{})
				c := must(near.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Greeting: true}))(t)
				equal(t, "refusal", c.Errno, 0)
				equal(t, "client's address", c.Greetings[0].Client.Addr(), prefix(test.client).Addr())
			})
		}
	}
}

// As root two labs of their own can be linked as well.
func TestLinkOfTwoLabs(t *testing.T) {
	if !mayMakeNetns() {
		t.Skip("left out: linking labs of two user namespaces needs root")
	}
	a, b, ctx := newLab(t, Options{}), newLab(t, Options{}), deadline(t)
	here, there := netip.MustParsePrefix("10.1.0.1/30"), netip.MustParsePrefix("10.1.0.2/30")
	noError(t, a.Link(ctx, b, here, there))
	s := must(newWorker(t, b, WorkerOptions{}).Listen(ctx, ListenOptions{Addr: port(there.Addr(), 80), Accept: true}))(t)
	c := must(newWorker(t, a, WorkerOptions{}).Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}}))(t)
	equal(t, "opened", c.Opened, 1)
	if err := a.Link(ctx, b, here, netip.MustParsePrefix("10.7.0.2/30")); err == nil {
		t.Error("two networks were linked")
	}
}
