package diagnosis

import (
	"fmt"

	"brink/collector"
	"brink/collector/limits"
)

// explain says what a refusal means and what to do: the catalogue's row of the
// limit, or what is known of the way in which a connection failed.
func (r *Refusal) explain() (meaning string, fixes []Fix) {
	if r.Limit == limits.BindConflict {
		return r.explainBind()
	}
	if r.Limit != limits.None {
		e := r.Limit.Entry()
		meaning = fmt.Sprintf("%s; the knob is %s", e.Meaning, e.Knob)
		switch {
		case r.Used > 0 && r.Max > 0:
			meaning = fmt.Sprintf("%s (%d of %d %s); the knob is %s", e.Meaning, r.Used, r.Max, e.Unit, e.Knob)
		case r.Max > 0:
			meaning = fmt.Sprintf("%s (at most %d %s); the knob is %s", e.Meaning, r.Max, e.Unit, e.Knob)
		}
		if r.Limit == limits.FileDescriptors && r.PID != 0 && r.Max > 0 {
			return meaning, raiseDescriptors(limits.Reading{PID: r.PID, Max: r.Max})
		}
		return meaning, catalogueFix(r.Limit)
	}
	if r.Lived && r.Failure == collector.Reset {
		return "the peer reset a connection that stood", []Fix{{Advice: "look at the peer: it ended, or closed with data unread"}}
	}
	e := failures[r.Failure]
	if e.Advice == "" {
		return e.meaning, nil
	}
	return e.meaning, []Fix{e.Fix}
}

func (r *Refusal) explainBind() (meaning string, fixes []Fix) {
	meaning = "the port was held by another socket"
	if len(r.Holders) > 0 {
		meaning = "held by " + atMost(namedInVerdict, r.Holders)
	}
	if r.Rule != "" {
		meaning += "; " + r.Rule
	}
	if r.Remedy == "" {
		return meaning, catalogueFix(r.Limit)
	}
	return meaning, []Fix{{Advice: "set " + r.Remedy}}
}

type failure struct {
	meaning string
	Fix
}

// failures explains how connections fail; what is behind it is often on the
// other host, where brink does not look.
var failures = map[collector.Failure]failure{
	collector.Refused: {"the other end answered the SYN with a reset: nobody listens at that address and port, or a firewall rejects",
		Fix{Advice: "look there whether the server runs and at which address it listens"}},
	collector.Reset: {"the other end reset it during the handshake", Fix{}},
	collector.SYNTimeout: {"no SYN was answered: packets are dropped on the way, or the host is down, or the server's accept queue is full",
		Fix{Advice: "look at the other host (brink why PORT there), then at the firewalls between"}},
	collector.RetransmissionTimeout: {"data went without acknowledgement until the kernel gave up (net.ipv4.tcp_retries2)",
		Fix{Advice: "look whether the peer's host lives and whether a NAT or firewall on the way has forgotten the connection"}},
	collector.ProbeTimeout: {"the peer no longer answered probes: keepalive, or of a closed window",
		Fix{Advice: "look whether the peer's host lives and whether a NAT or firewall on the way has forgotten the connection"}},
	collector.Unreachable: {"there is no way to that address, by this host's routes or by what a router answered",
		Fix{Advice: "ip route get ADDRESS shows which route is taken"}},
	collector.NoPort:       {limits.EphemeralPorts.Entry().Meaning, Fix{Advice: limits.EphemeralPorts.Entry().Advice}},
	collector.OtherFailure: {"the errno says why", Fix{}},
}
