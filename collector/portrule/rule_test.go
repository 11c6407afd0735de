package portrule

import (
	"net/netip"
	"strings"
	"testing"
)

// socket reads "10.0.0.1 listening reuseaddr reuseport v6only uid=7 tcp ?reuseaddr".
func socket(t *testing.T, text string) (s Socket) {
	t.Helper()
	words := strings.Fields(text)
	s.Local = netip.AddrPortFrom(netip.MustParseAddr(words[0]), 80)
	for _, word := range words[1:] {
		switch word {
		case "udp":
			s.Transport = UDP
		case "listening":
			s.State = Listening
		case "connected":
			s.State = Connected
		case "timewait":
			s.State = TimeWait
		case "reuseaddr":
			s.ReuseAddr = true
		case "reuseport":
			s.ReusePort = true
		case "v6only":
			s.V6Only = true
		case "other":
			s.UID = 1000
		case "lo":
			s.Device = 1
		case "eth0":
			s.Device = 2
		case "?":
			s.Unknown = ReuseAddr | ReusePort
		default:
			t.Fatalf("%q in %q", word, text)
		}
	}
	return s
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		ask, held string
		rule      Rule
		remedies  string
	}{
		{"10.0.0.1", "10.0.0.2", NoRule, ""},
		{"10.0.0.1 lo", "10.0.0.1 eth0", NoRule, ""},
		{"10.0.0.1", "10.0.0.1 udp", NoRule, ""},
		{"10.0.0.1", "10.0.0.1", AskerWithoutReuseAddr, "SO_REUSEADDR on both; SO_REUSEPORT on both, by one user"},
		{"10.0.0.1", "10.0.0.1 reuseaddr", AskerWithoutReuseAddr, "SO_REUSEADDR on the asker; SO_REUSEPORT on both, by one user"},
		{"10.0.0.1 reuseaddr", "0.0.0.0", HolderWithoutReuseAddr, "SO_REUSEADDR on the holder; SO_REUSEPORT on both, by one user"},
		{"0.0.0.0 reuseaddr", "10.0.0.1 connected reuseaddr", NoRule, ""},
		{"0.0.0.0 reuseaddr", "10.0.0.1 listening reuseaddr", HolderListens, "SO_REUSEPORT on both, by one user"},
		{"0.0.0.0 reuseport", "10.0.0.1 listening", HolderListens, "SO_REUSEPORT on the holder"},
		{"0.0.0.0 reuseport", "10.0.0.1 listening reuseport", NoRule, ""},
		{"0.0.0.0 reuseport", "10.0.0.1 listening reuseport other", OtherUser, "SO_REUSEPORT on both, by one user"},
		{"0.0.0.0 reuseport", "10.0.0.1 timewait reuseport other", NoRule, ""},
		{"0.0.0.0", ":: listening", DualStack, "IPV6_V6ONLY on the holder; SO_REUSEPORT on both, by one user"},
		{"::", "0.0.0.0 listening", DualStack, "IPV6_V6ONLY on the asker; SO_REUSEPORT on both, by one user"},
		{":: v6only", "0.0.0.0 listening", NoRule, ""},
		{"0.0.0.0", ":: v6only listening", NoRule, ""},
		{"0.0.0.0", "::1 connected", DualStack, "IPV6_V6ONLY on the holder; SO_REUSEADDR on both; SO_REUSEPORT on both, by one user"},
		{"10.0.0.1 udp", "10.0.0.1 udp", AskerWithoutReuseAddr, "SO_REUSEPORT on both, by one user; SO_REUSEADDR on both"},
		{"10.0.0.1 udp reuseaddr", "10.0.0.1 udp reuseaddr", NoRule, ""},
		// of an unknown holder only that is said which holds whatever it has
		{"10.0.0.1", "10.0.0.1 timewait ?", AskerWithoutReuseAddr, "SO_REUSEADDR on both; SO_REUSEPORT on both, by one user"},
		{"10.0.0.1 reuseaddr", "10.0.0.1 timewait ?", UnknownRule, "SO_REUSEADDR on the holder; SO_REUSEPORT on both, by one user"},
		{"10.0.0.1 reuseaddr", "10.0.0.1 listening ?", HolderListens, "SO_REUSEPORT on both, by one user"},
		{"10.0.0.1 reuseport", "10.0.0.1 listening ?", UnknownRule, "SO_REUSEPORT on the holder"},
		{"10.0.0.1 reuseport", "10.0.0.1 listening other ?", UnknownRule, "SO_REUSEPORT on both, by one user"},
	} {
		t.Run(test.ask+" asks where "+test.held+" is", func(t *testing.T) {
			ask, held := socket(t, test.ask), socket(t, test.held)
			verdict := Judge(ask, held)
			if verdict.Rule != test.rule {
				t.Errorf("rule %q, want %q", verdict.Rule, test.rule)
			}
			if verdict.Rule != NoRule && verdict.Rule.Sentence() == "" {
				t.Errorf("%q says nothing", verdict.Rule)
			}
			if !verdict.InTheWay() {
				return
			}
			if got := words(Remedies(ask, held)); got != test.remedies {
				t.Errorf("remedies %q, want %q", got, test.remedies)
			}
		})
	}
}

// A listener that another user's SO_REUSEPORT cannot join refuses for certain,
// though why depends on what is not known of it.
func TestRefusalWithoutAReason(t *testing.T) {
	verdict := Judge(socket(t, "10.0.0.1 reuseport"), socket(t, "10.0.0.1 listening other ?"))
	if !verdict.Refuses || verdict.Rule != UnknownRule {
		t.Errorf("%+v", verdict)
	}
}

// What helps against one holder must help against all of them.
func TestRemediesAgainstAll(t *testing.T) {
	ask := socket(t, ":: reuseaddr")
	holders := []Socket{socket(t, "0.0.0.0 listening"), socket(t, "2001:db8::1 connected reuseaddr")}
	if got := words(Remedies(ask, holders...)); got != "IPV6_V6ONLY on the asker; SO_REUSEPORT on all, by one user" {
		t.Errorf("remedies %q", got)
	}
	holders = append(holders, socket(t, "2001:db8::1 connected"))
	if got := words(Remedies(ask, holders...)); got != "SO_REUSEPORT on all, by one user" {
		t.Errorf("remedies %q", got)
	}
}

// The kernel does not ask the holders once the port is known to be shared.
func TestBucketLetsIn(t *testing.T) {
	first := socket(t, "10.0.0.1 connected reuseaddr")
	first.Origin = ByConnect
	second := socket(t, "10.0.0.1 reuseaddr reuseport")
	ask := socket(t, "10.0.0.1 reuseport")
	if p := Predict(ask, first); !p.Refused || p.Bucket {
		t.Errorf("against one: %+v", p)
	}
	if p := Predict(ask, first, second); p.Refused || !p.Bucket || len(p.By) != 1 {
		t.Errorf("against both: %+v", p)
	}
}

func words(remedies []Remedy) string {
	var all []string
	for _, r := range remedies {
		all = append(all, r.String())
	}
	return strings.Join(all, "; ")
}
