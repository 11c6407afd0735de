package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"brink/loader"
)

// TestRefusals holds what trace tells of an ordinary program's refusals against
// what the program did: each is told once, with its limit, its errno, its victim
// and its figures, and nothing else is; the kernel's counts agree.
func TestRefusals(t *testing.T) {
	onEachRung(t, func(t *testing.T, rung loader.Rung) *told {
		players := []*player{startPlayer(t, "refusals", "127.0.0.1"), startPlayer(t, "refusals", "::1")}
		stranger := startPlayer(t, "overflow", "127.0.0.1") // the filter leaves it out
		facts, did := traced(t, rung, players, func() {
			stranger.begin(t)
			stranger.until(t, "done")
		})
		told := newTold(facts)
		for i, p := range players {
			told.hold(p.refusals(t, did[i], facts))
		}
		told.nothingElse()
		return told
	})
}

// TestRefusalsToldApart: connections that fail, each by its own cause.
func TestRefusalsToldApart(t *testing.T) {
	onEachRung(t, func(t *testing.T, rung loader.Rung) *told {
		players := []*player{startPlayer(t, "failures", "127.0.0.1"), startPlayer(t, "failures", "::1")}
		facts, did := traced(t, rung, players, nil)
		told := newTold(facts)
		for i, p := range players {
			told.hold(p.failures(t, did[i]))
		}
		told.nothingElse()
		return told
	})
}

// bestRung is the best that this kernel has. Attach takes a second or two.
var bestRung = sync.OnceValues(func() (loader.Mode, error) {
	tracer, err := loader.Attach(loader.Options{})
	if err != nil {
		return loader.Mode{}, err
	}
	return tracer.Mode("state"), tracer.Close()
})

// onEachRung runs a test on the rungs that this kernel has. BRINK_RUNGS names
// those that it must have; by default the one that every supported kernel has.
func onEachRung(t *testing.T, test func(*testing.T, loader.Rung) *told) {
	needRoot(t)
	required := []string{"tracepoint"}
	if names := os.Getenv("BRINK_RUNGS"); names != "" {
		required = strings.Split(names, ",")
	}
	best := must[loader.Mode](t)(bestRung())
	for _, rung := range []loader.Rung{loader.Fentry, loader.Kprobe, loader.Tracepoint} {
		t.Run(rung.String(), func(t *testing.T) {
			if rung < best.Rung && slices.Contains(required, rung.String()) {
				t.Fatalf("this kernel should have %s: %+v", rung, best.Refusals)
			}
			if rung < best.Rung {
				t.Skipf("this kernel has no %s: %+v", rung, best.Refusals)
			}
			untilNoneSkipped(t, func() *told { return test(t, rung) })
		})
	}
}

// untilNoneSkipped repeats a trace that is wrong for a reason that it gives: the
// kernel left out runs of programs, for another was running on that CPU. On an
// emulated CPU that happens often, natively when the host is busy.
func untilNoneSkipped(t *testing.T, trace func() *told) {
	t.Helper()
	for try := 1; ; try++ {
		told := trace()
		skipped := told.summary.number("skipped")
		if len(told.wrong) > 0 && skipped > 0 && try < 5 {
			t.Logf("inconclusive: the kernel skipped %d runs of programs\n%s", skipped, strings.Join(told.wrong, "\n"))
			continue
		}
		for _, wrong := range told.wrong {
			t.Errorf("%s (%d skipped)", wrong, skipped)
		}
		return
	}
}

// inGuest: the emulated CPU is one, and slow. What runs there side by side keeps
// being preempted in the midst of a program, see untilNoneSkipped.
func inGuest() bool { return os.Getenv("BRINK_RUNGS") != "" }

// traced has the players perform, side by side where that is no trouble, while
// brink traces their namespaces and no other.
func traced(t *testing.T, rung loader.Rung, players []*player, afterwards func()) (facts []fact, did [][]string) {
	t.Helper()
	args := []string{"--rung", rung.String()}
	for _, p := range players {
		args = append(args, "--netns", fmt.Sprintf("pid:%d", p.pid()))
	}
	tr := startTrace(t, args...)
	for _, p := range players {
		if !inGuest() {
			p.begin(t)
		}
	}
	for _, p := range players {
		if inGuest() {
			p.begin(t)
		}
		did = append(did, p.until(t, "done"))
	}
	if afterwards != nil {
		afterwards()
	}
	facts = tr.stop(t)
	for _, p := range players {
		p.end()
	}
	if got := modeOf(facts, "state"); got != rung.String() {
		t.Fatalf("this was traced on %s, not on %s", got, rung)
	}
	return facts, did
}

func modeOf(facts []fact, hook string) string {
	mode, _ := facts[len(facts)-1]["mode"].(map[string]any)
	return fmt.Sprint(mode[hook])
}

// expected are facts that must be told, alike and so many times; of a polled one
// its count.
type expected struct {
	fact  // nil values must be absent
	times int
	check func(fact) string // what is wrong with it
}

// told are the facts about refusals and failures, to be struck off one by one.
type told struct {
	summary fact
	rest    []fact
	hits    map[string]any // as the summary should have them
	failed  map[string]any
	wrong   []string
}

func (d *told) errorf(format string, values ...any) {
	d.wrong = append(d.wrong, fmt.Sprintf(format, values...))
}

func newTold(facts []fact) *told {
	d := &told{summary: facts[len(facts)-1], hits: map[string]any{}, failed: map[string]any{}}
	for _, f := range facts {
		switch f.string("kind") {
		case "limit_hit", "bind_conflict", "connect_failures":
			d.rest = append(d.rest, f)
		case "connection":
			if f["brink.failure"] != nil || f["brink.errno"] != nil || f["brink.abandoned"] != nil {
				d.rest = append(d.rest, f)
			}
		case "time_wait":
			if f.string("event") == "overflow" {
				d.rest = append(d.rest, f)
			}
		}
	}
	return d
}

// hold strikes off what was expected.
func (d *told) hold(all []expected) {
	for _, e := range merged(all) {
		n := 0
		var found []fact
		d.rest = slices.DeleteFunc(d.rest, func(f fact) bool {
			if !e.matches(f) {
				return false
			}
			n += max(1, f.number("brink.count"))
			found = append(found, f)
			return true
		})
		if n != e.times {
			d.errorf("told %d times instead of %d: %v\n%v", n, e.times, e.fact, found)
		}
		for _, f := range found {
			if e.check == nil {
				break
			}
			if wrong := e.check(f); wrong != "" {
				d.wrong = append(d.wrong, wrong)
			}
		}
		d.count(e)
	}
}

// merged counts together what is expected more than once: a port that is free
// again is chosen again.
func merged(all []expected) (distinct []expected) {
	for _, e := range all {
		i := slices.IndexFunc(distinct, func(d expected) bool { return maps.Equal(d.fact, e.fact) })
		if i < 0 {
			distinct = append(distinct, e)
		} else {
			distinct[i].times += e.times
		}
	}
	return distinct
}

// matches compares as text: JSON's numbers are floats.
func (e *expected) matches(f fact) bool {
	for key, want := range e.fact {
		got, known := f[key]
		if want == nil && known || want != nil && fmt.Sprint(got) != fmt.Sprint(want) {
			if number, ok := got.(float64); !ok || want == nil || strconv.FormatFloat(number, 'f', -1, 64) != fmt.Sprint(want) {
				return false
			}
		}
	}
	return true
}

func (d *told) count(e expected) {
	add := func(to map[string]any, name string) {
		n, _ := to[name].(float64)
		to[name] = n + float64(e.times)
	}
	switch e.string("kind") {
	case "limit_hit":
		add(d.hits, e.string("brink.limit"))
	case "bind_conflict":
		add(d.hits, "bind_conflict")
	case "connection":
		if failure := e.string("brink.failure"); failure != "" {
			add(d.failed, failure)
		}
	}
}

// nothingElse was told, and the kernel counted the same.
func (d *told) nothingElse() {
	for _, f := range d.rest {
		d.errorf("told, and nothing like it was done: %v", f)
	}
	for name, want := range map[string]map[string]any{"hits": d.hits, "failures": d.failed} {
		if got, _ := d.summary[name].(map[string]any); !maps.Equal(got, want) {
			d.errorf("the summary's %s are %v, not %v", name, got, want)
		}
	}
	if missed := d.summary.number("missed"); missed != 0 {
		d.errorf("summary has missed %d", missed)
	}
}

// comm is what the kernel calls this program: TASK_COMM_LEN.
func comm() string {
	name := filepath.Base(os.Args[0])
	return name[:min(len(name), 15)]
}

// victim adds who was refused.
func (p *player) victim(f fact) fact {
	who := fact{
		"process.pid": p.pid(), "process.executable.name": comm(), "process.user.id": 0,
		"brink.netns": p.netns, "process.linux.cgroup": nil,
	}
	if p.group != "" {
		who["process.linux.cgroup"] = p.group
	}
	maps.Copy(who, f)
	return who
}

// refusals are what brink must tell of what the player says it did.
func (p *player) refusals(t *testing.T, did []string, facts []fact) (all []expected) {
	descriptors := 0
	for _, line := range did {
		f := strings.Fields(line)
		switch f[0] {
		case "conflict":
			all = append(all, p.conflict(f[1], f[2], f[3]))
		case "no-port":
			if f[1] != "send" || modeOf(facts, "udp_port") != "tracepoint" {
				all = append(all, p.noPort(f[1], f[2], f[3])...)
			}
		case "tuple-taken":
			hit := p.victim(fact{"kind": "limit_hit", "brink.limit": "four_tuple", "brink.errno": "EADDRNOTAVAIL",
				"error.type": "address_not_available", "brink.role": "client", "network.transport": "tcp"})
			all = append(all, expected{fact: withAddress(withAddress(hit, "local", f[1]), "peer", f[2]), times: 1})
			all = append(all, p.failed("no_port", "EADDRNOTAVAIL", f[1], f[2]))
		case "queue-full":
			all = append(all, p.queueFull(f, modeOf(facts, "accept_queue") == "poll")...)
		case "no-descriptor":
			descriptors++
		case "no-thread":
			all = append(all, expected{times: 1, fact: p.victim(fact{
				"kind": "limit_hit", "brink.limit": "threads", "brink.errno": "EAGAIN", "error.type": "resource_unavailable",
				"process.pid": f[1], "process.user.id": f[2], "brink.limit.max": f[3],
			})})
		case "no-timewait":
			all = append(all, p.noTimeWait(f[1], f[2])...)
		case "hung-up":
			e := p.failed("reset", "ECONNRESET", f[1], f[2])
			e.fact["brink.role"] = "server"
			all = append(all, e)
		default:
			t.Errorf("the player says it did %q", line)
		}
	}
	all = append(all, expected{times: descriptors, fact: p.victim(fact{
		"kind": "limit_hit", "brink.limit": "file_descriptors", "brink.errno": "EMFILE",
		"error.type": "too_many_open_files", "brink.limit.knob": "RLIMIT_NOFILE",
		"brink.limit.max": maxDescriptors, "brink.limit.used": maxDescriptors,
	})})
	return all
}

func withAddress(f fact, side, address string) fact {
	host, port := address, ""
	if i := strings.LastIndex(address, ":"); strings.Contains(address, "]:") || strings.Count(address, ":") == 1 {
		host, port = strings.Trim(address[:i], "[]"), address[i+1:]
	}
	f["network."+side+".address"] = host
	f["network.type"] = "ipv4"
	if strings.Contains(host, ":") {
		f["network.type"] = "ipv6"
	}
	if port != "" {
		f["network."+side+".port"] = port
	}
	return f
}

func (p *player) conflict(how, local, holder string) expected {
	transport, state := how, map[string]string{"tcp": "listen", "udp": "bound", "tcp-listen": "listen"}[how]
	if how == "tcp-listen" {
		transport = "tcp"
	}
	e := expected{times: 1, fact: withAddress(p.victim(fact{
		"kind": "bind_conflict", "brink.errno": "EADDRINUSE", "error.type": "address_in_use",
		"network.transport": transport, "brink.reuseaddr": how == "tcp-listen", "brink.reuseport": false,
	}), "local", local)}
	e.check = func(f fact) string {
		holders, _ := f["brink.holders"].([]any)
		if len(holders) != 1 || f.string("brink.rule") == "" {
			return fmt.Sprintf("one socket holds %s, and a rule refuses: %v", local, f)
		}
		want := expected{fact: withAddress(fact{"process.pid": holder, "process.executable.name": comm(),
			"process.user.id": 0, "network.transport": transport, "network.connection.state": state}, "local", local)}
		delete(want.fact, "network.type")
		if h := fact(holders[0].(map[string]any)); !want.matches(h) {
			return fmt.Sprintf("%s is held by %v, not by %v", local, h, want.fact)
		}
		return ""
	}
	return e
}

func (p *player) noPort(how, transport, address string) []expected {
	hit := p.victim(fact{
		"kind": "limit_hit", "brink.limit": "ephemeral_ports", "brink.limit.knob": "net.ipv4.ip_local_port_range",
		"brink.limit.max": choosable, "brink.limit.used": choosable, "network.transport": transport,
		"network.local.port": nil,
	})
	switch {
	case how == "bind":
		hit["brink.errno"], hit["error.type"] = "EADDRINUSE", "address_in_use"
		return []expected{{fact: withAddress(hit, "local", address), times: 1}}
	case transport == "udp":
		hit["brink.errno"], hit["error.type"] = "EAGAIN", "resource_unavailable"
		return []expected{{fact: hit, times: 1}}
	}
	hit["brink.errno"], hit["error.type"], hit["brink.role"] = "EADDRNOTAVAIL", "address_not_available", "client"
	return []expected{
		{fact: withAddress(hit, "peer", address), times: 1},
		p.failed("no_port", "EADDRNOTAVAIL", "-", address),
	}
}

// queueFull: a hook tells each client, the poll how many there were.
func (p *player) queueFull(f []string, polled bool) []expected {
	times := must0(strconv.Atoi(f[2]))
	hit := withAddress(p.victim(fact{
		"kind": "limit_hit", "brink.limit": "accept_queue", "brink.errno": nil, "error.type": nil,
		"brink.outcome": "dropped", "brink.role": "server", "network.transport": "tcp",
		"brink.limit.max": 2, "brink.limit.used": 2, "brink.limit.knob": "listen(2) backlog, net.core.somaxconn",
	}), "local", f[1])
	clients := f[3:]
	e := expected{fact: hit, times: times, check: func(h fact) string {
		if client := address(h, "peer"); polled != (client == "") || !polled && !slices.Contains(clients, client) {
			return fmt.Sprintf("the client is told as %q, not as one of %v", client, clients)
		}
		return ""
	}}
	all := []expected{e}
	for _, client := range clients {
		all = append(all, p.abandoned(client, f[1]))
	}
	return all
}

// noTimeWait: the limit says no, and the tuple's own story has it as well.
func (p *player) noTimeWait(local, peer string) []expected {
	hit := p.victim(fact{
		"kind": "limit_hit", "brink.limit": "time_wait_buckets", "brink.errno": nil, "network.transport": "tcp",
		"brink.limit.max": maxTimeWaits, "brink.limit.used": maxTimeWaits, "brink.limit.knob": "net.ipv4.tcp_max_tw_buckets",
	})
	overflow := p.victim(fact{"kind": "time_wait", "event": "overflow", "brink.time_wait.kind": "time_wait"})
	all := []expected{{fact: hit, times: 1}, {fact: overflow, times: 1}}
	for _, e := range all {
		withAddress(withAddress(e.fact, "local", local), "peer", peer)
	}
	return all
}

// errorTypes are the words for the errnos that the failures come with.
var wantedTypes = map[string]string{
	"ECONNREFUSED": "connection_refused", "ECONNRESET": "connection_reset", "EPIPE": "broken_pipe", "ETIMEDOUT": "timeout",
	"ENETUNREACH": "network_unreachable", "EHOSTUNREACH": "host_unreachable", "EADDRNOTAVAIL": "address_not_available",
}

func (p *player) failed(failure, errno, local, peer string) expected {
	f := withAddress(p.victim(fact{
		"kind": "connection", "brink.role": "client", "brink.failure": failure, "brink.errno": errno,
		"error.type": wantedTypes[errno], "network.transport": "tcp",
	}), "peer", peer)
	if local != "-" {
		withAddress(f, "local", local)
	}
	return expected{fact: f, times: 1}
}

func (p *player) abandoned(local, peer string) expected {
	f := p.victim(fact{"kind": "connection", "brink.role": "client", "brink.abandoned": true, "brink.failure": nil, "brink.errno": nil})
	return expected{fact: withAddress(withAddress(f, "local", local), "peer", peer), times: 1}
}

func (p *player) failures(t *testing.T, did []string) (all []expected) {
	for _, line := range did {
		f := strings.Fields(line)
		switch f[0] {
		case "failed":
			all = append(all, p.failed(f[1], f[2], f[3], f[4]))
		case "abandoned":
			all = append(all, p.abandoned(f[1], f[2]))
		default:
			t.Errorf("the player says it did %q", line)
		}
	}
	return all
}

func must0[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
