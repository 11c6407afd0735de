package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"brink/collector"
	"brink/collector/diagnosis"
	"brink/loader"

	"golang.org/x/sys/unix"
)

// agentSocket is where brink why finds the agent.
const agentSocket = "/run/brink/agent.sock"

const (
	// remembered is how far back the history goes, if there is room for it.
	remembered = 15 * time.Minute
	// mostRemembered bounds it: some 600 bytes each.
	mostRemembered = 1 << 12
)

// history is a sink that keeps the newest refusals, of all namespaces, as they
// were told: brink why asks it instead of waiting for the next ones.
type history struct {
	mu    sync.Mutex
	netns []uint32 // the only ones that are watched; none is all
	part  bool     // a filter keeps refusals from it that would matter
	since time.Time
	ring  []refused
	next  int
}

type refused struct {
	at   time.Time
	fact collector.Fact
}

func (h *history) watches(f loader.Filter) {
	h.netns, h.part, h.since = f.Netns, f.Cgroup != "", time.Now()
}

// Accept implements collector.Sink.
func (h *history) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.LimitHit:
		h.keep(new(*f))
	case *collector.ConnectFailures:
		h.keep(new(*f))
	case *collector.BindConflict:
		kept := new(*f)
		kept.Holders = slices.Clone(f.Holders)
		h.keep(kept)
	case *collector.Connection:
		if f.Errno != 0 && !f.Abandoned {
			h.keep(new(*f))
		}
	}
}

func (h *history) keep(f collector.Fact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < mostRemembered {
		h.ring = append(h.ring, refused{time.Now(), f})
		return
	}
	h.since = h.ring[h.next].at // what came before is not known any more
	h.ring[h.next] = refused{time.Now(), f}
	h.next = (h.next + 1) % mostRemembered
}

// historyQuestion is what brink why asks for.
type historyQuestion struct {
	Netns, PID uint32
	Port       uint16
	Address    netip.Addr
}

// about are the refusals that concern the subject, as if they had been watched.
func (h *history) about(q historyQuestion, now time.Time) (*diagnosis.Refusals, time.Duration, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := h.since
	if from.Before(now.Add(-remembered)) {
		from = now.Add(-remembered)
	}
	refusals := &diagnosis.Refusals{Netns: q.Netns, PID: q.PID}
	nowhere := 0
	for _, r := range h.ring {
		switch {
		case r.at.Before(from):
		case q.concerns(r.fact):
			refusals.Accept(r.fact)
		case q.mayConcern(r.fact):
			nowhere++
		}
	}
	return refusals, now.Sub(from), nowhere
}

// concerns is the filter that brink why has the kernel apply when it traces by
// itself. diagnosis.Refusals looks at the namespace and at the process.
func (q historyQuestion) concerns(f collector.Fact) bool {
	if q.Port == 0 && !q.Address.IsValid() {
		return true
	}
	_, local, peer := whereabouts(f)
	hasPort := q.Port == 0 || local.Port() == q.Port || peer.Port() == q.Port
	return hasPort && (!q.Address.IsValid() || local.Addr() == q.Address || peer.Addr() == q.Address)
}

// mayConcern: it was told together with others, without addresses.
func (q historyQuestion) mayConcern(f collector.Fact) bool {
	netns, local, peer := whereabouts(f)
	return netns == q.Netns && !local.IsValid() && !peer.IsValid()
}

func whereabouts(f collector.Fact) (netns uint32, local, peer netip.AddrPort) {
	switch f := f.(type) {
	case *collector.LimitHit:
		return f.Netns, f.Local, f.Peer
	case *collector.Connection:
		return f.Netns, f.Local, f.Peer
	case *collector.BindConflict:
		return f.Netns, f.Local, netip.AddrPort{}
	case *collector.ConnectFailures:
		return f.Netns, local, peer
	}
	return 0, local, peer
}

// answer serves the history to brink why, until the result is called. That it
// cannot is no reason not to run.
func (a *agent) answer(path string) (end func()) {
	l, err := agentSocketListen(path)
	if err != nil {
		a.log.Warn("brink why cannot ask what was refused", "socket", path, "error", err)
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /refusals", a.refusals)
	return serveOn(l, mux, a).close
}

// agentSocketListen takes the place of a socket that an agent left behind which
// was killed, and not of one at which another agent answers.
func agentSocketListen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another agent answers at %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
	defer unix.Umask(unix.Umask(0o177)) // nobody connects before the mode is set
	return net.Listen("unix", path)
}

func (a *agent) refusals(w http.ResponseWriter, r *http.Request) {
	q, err := parseHistoryQuestion(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.history.part || len(a.history.netns) > 0 && !slices.Contains(a.history.netns, q.Netns) || a.tracer.Blocked() != nil {
		http.Error(w, "this agent does not watch that", http.StatusNotFound)
		return
	}
	refusals, span, nowhere := a.history.about(q, time.Now())
	told := diagnosis.Watched{
		For: max(span, time.Millisecond), By: "the agent, " + modesInWords(a.tracer),
		Refusals: refusals.All(), Unnamed: refusals.Unnamed(),
	}
	told.Blind = (&whyWatch{hooks: r.Form["hook"]}).blind(a.tracer)
	if s, err := a.collect.Summary(); err == nil {
		told.Lost = s.Total()
	}
	if nowhere > 0 {
		told.Blind = append(told.Blind, fmt.Sprintf("Of %s in this network namespace the agent was told the number alone, and not the addresses: they may have concerned this.", storms(nowhere)))
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(told); err != nil {
		a.log.Debug("brink why did not take the answer", "error", err)
	}
}

func parseHistoryQuestion(r *http.Request) (q historyQuestion, err error) {
	number := func(name string, bits int) (n uint64) {
		if value := r.FormValue(name); value != "" && err == nil {
			n, err = strconv.ParseUint(value, 10, bits)
		}
		return n
	}
	q.Netns, q.PID, q.Port = uint32(number("netns", 32)), uint32(number("pid", 32)), uint16(number("port", 16))
	if value := r.FormValue("address"); value != "" && err == nil {
		q.Address, err = netip.ParseAddr(value)
	}
	if err == nil && q.Netns == 0 {
		err = fmt.Errorf("netns is missing")
	}
	return q, err
}

func storms(n int) string {
	if n == 1 {
		return "one burst of refusals"
	}
	return fmt.Sprintf("%d bursts of refusals", n)
}
