package portrule

import (
	"net/netip"
	"testing"
)

func TestChosenByBind(t *testing.T) {
	for _, test := range []struct {
		ask, held      string
		rule, withAuto Rule // without and with net.ipv4.ip_autobind_reuse
	}{
		{"10.0.0.1", "10.0.0.2", NoRule, NoRule},
		{"10.0.0.1", "fd00::1 v6only", NoRule, NoRule},
		{"10.0.0.1", "10.0.0.1 udp", NoRule, NoRule},
		{"10.0.0.1", "10.0.0.1", AddressesOverlap, AddressesOverlap},
		{"10.0.0.1 reuseport", "10.0.0.1 reuseport", AddressesOverlap, AddressesOverlap},
		{"10.0.0.1 reuseaddr", "10.0.0.1", AddressesOverlap, AddressesOverlap},
		{"10.0.0.1 reuseaddr", "10.0.0.1 reuseaddr", AddressesOverlap, NoRule},
		{"10.0.0.1 reuseaddr", ":: reuseaddr", AddressesOverlap, NoRule},
		{"10.0.0.1 reuseaddr", "10.0.0.1 reuseaddr listening", AddressesOverlap, AddressesOverlap},
		{"10.0.0.1 reuseaddr reuseport", "10.0.0.1 reuseaddr", AddressesOverlap, NoRule},
		{"10.0.0.1 reuseaddr reuseport", "10.0.0.1 reuseaddr reuseport", AddressesOverlap, AddressesOverlap},
		{"10.0.0.1 reuseaddr reuseport", "10.0.0.1 reuseaddr reuseport other", AddressesOverlap, NoRule},
	} {
		for _, auto := range []bool{false, true} {
			want := map[bool]Rule{false: test.rule, true: test.withAuto}[auto]
			if got := ChosenByBind(socket(t, test.ask), auto, socket(t, test.held)); got != want {
				t.Errorf("%s asks where %s is, ip_autobind_reuse %t: %q, want %q", test.ask, test.held, auto, got, want)
			}
		}
	}
}

func TestChosenByConnect(t *testing.T) {
	server, other := netip.MustParseAddrPort("10.0.0.9:80"), netip.MustParseAddrPort("10.0.0.9:81")
	connection := func(text string, origin Origin, peer netip.AddrPort) Connection {
		s := socket(t, text+" connected")
		s.Origin = origin
		return Connection{Socket: s, Peer: peer}
	}
	ask := connection("10.0.0.1", ByConnect, server)
	for name, test := range map[string]struct {
		held []Connection
		want Rule
	}{
		"nobody":                    {nil, NoRule},
		"another destination":       {[]Connection{connection("10.0.0.1", ByConnect, other)}, NoRule},
		"another source":            {[]Connection{connection("10.0.0.2", ByConnect, server)}, NoRule},
		"the same":                  {[]Connection{connection("10.0.0.1", ByConnect, server)}, SameTuple},
		"the same, of IPv6":         {[]Connection{connection("::ffff:10.0.0.1", ByConnect, netip.MustParseAddrPort("[::ffff:10.0.0.9]:80"))}, SameTuple},
		"bound first":               {[]Connection{connection("fd00::1", ByBind, other)}, MadeByBind},
		"accepted":                  {[]Connection{connection("10.0.0.1", ByAccept, other)}, MadeByBind},
		"UDP":                       {[]Connection{connection("10.0.0.1 udp", ByBind, other)}, NoRule},
		"the same, and a bound one": {[]Connection{connection("10.0.0.1", ByConnect, server), connection("10.0.0.2 reuseaddr", ByBind, other)}, MadeByBind},
	} {
		if got := ChosenByConnect(ask, test.held...); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	for _, rule := range []Rule{AddressesOverlap, MadeByBind, SameTuple} {
		if rule.Sentence() == "" {
			t.Errorf("%q says nothing", rule)
		}
	}
}
