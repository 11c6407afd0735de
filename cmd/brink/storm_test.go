package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"brink/loader"

	"golang.org/x/sys/unix"
)

// A gale is connects that fail in a loop, by two processes.
type gale struct {
	play          string
	native, guest int // an emulated CPU takes a hundred times as long for each
	failure       string
	errno         string
	limit         string // that each of them hits, if any
}

const galeProcesses = 2

// TestStorm: however fast a program is refused, the kernel's counts are exact,
// what is printed stays bounded, and says how often it happened in all.
func TestStorm(t *testing.T) {
	for _, g := range []gale{
		{"refused", 1_000_000, 10_000, "refused", "ECONNREFUSED", ""},
		{"no-port", 1_000_000, 10_000, "no_port", "EADDRNOTAVAIL", "ephemeral_ports"},
		{"signals", 40_000, 4_000, "refused", "ECONNREFUSED", ""},
	} {
		t.Run(g.play, func(t *testing.T) {
			onEachRung(t, func(t *testing.T, rung loader.Rung) *told { return g.blow(t, rung) })
		})
	}
}

func (g *gale) connects() int {
	if inGuest() {
		return g.guest
	}
	return g.native
}

func (g *gale) blow(t *testing.T, rung loader.Rung) *told {
	each := g.connects() / galeProcesses
	var players []*player
	for range galeProcesses {
		players = append(players, startPlayer(t, g.play, "127.0.0.1", "BRINK_TEST_CONNECTS="+strconv.Itoa(each)))
	}
	begun := time.Now()
	facts, did := traced(t, rung, players, nil)
	took := time.Since(begun)
	told := &told{summary: facts[len(facts)-1], hits: map[string]any{}, failed: map[string]any{g.failure: float64(g.connects())}}
	if g.limit != "" {
		told.hits[g.limit] = float64(g.connects())
	}
	for i, p := range players {
		if want := fmt.Sprint("failed ", each); len(did[i]) != 1 || did[i][0] != want {
			t.Fatalf("the player did %q, not %q", did[i], want)
		}
		told.addUp(p, facts, g, each)
	}
	told.nothingElse()
	if most := g.lines(took); len(facts) > most {
		told.errorf("%d lines about %d connects in %s, more than %d", len(facts), g.connects(), took, most)
	}
	t.Logf("%d connects, %d lines, %s, %d skipped", g.connects(), len(facts), took.Round(time.Millisecond), told.summary.number("skipped"))
	return told
}

// lines is how many there may be: of a second the first hundred refusals and one
// for the rest, for each process and reason. Of a million on an idle machine that
// is less than 1 %.
func (g *gale) lines(took time.Duration) int {
	reasons := 1
	if g.limit != "" {
		reasons = 2 // a connect fails, and a limit says no
	}
	return galeProcesses * reasons * (100 + 1) * (int(took/time.Second) + 2)
}

// addUp what is told of one process, one by one and together.
func (d *told) addUp(p *player, facts []fact, g *gale, n int) {
	connects := fact{"brink.failure": g.failure, "brink.errno": g.errno, "error.type": wantedTypes[g.errno]}
	single := expected{fact: p.victim(connects)}
	single.fact["kind"] = "connection"
	many := expected{fact: p.victim(connects)}
	many.fact["kind"] = "connect_failures"
	if got := sum(facts, &single) + sum(facts, &many); got != n {
		d.errorf("%d of %d failed connects are told", got, n)
	}
	if sum(facts, &many) == 0 {
		d.errorf("the storm is not told together")
	}
	if g.limit == "" {
		return
	}
	hits := expected{fact: p.victim(fact{"kind": "limit_hit", "brink.limit": g.limit, "brink.errno": g.errno})}
	if got := sum(facts, &hits); got != n {
		d.errorf("%d of %d limit hits are told", got, n)
	}
}

func sum(facts []fact, like *expected) (n int) {
	for _, f := range facts {
		if like.matches(f) {
			n += max(1, f.number("brink.count"))
		}
	}
	return n
}

// stormRefused connects to a port where nobody listens.
func stormRefused(at netip.Addr) error {
	return connectInALoop(netip.AddrPortFrom(at, 7001), unix.ECONNREFUSED)
}

// stormRefusedWithSignals is interrupted again and again, as any Go program is:
// the kernel restarts its connect().
func stormRefusedWithSignals(at netip.Addr) error {
	runtime.LockOSThread()
	thread, over := unix.Gettid(), make(chan bool)
	defer close(over)
	go func() {
		for tick := time.NewTicker(50 * time.Microsecond); ; {
			select {
			case <-over:
				return
			case <-tick.C:
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG) // which the Go runtime takes in its stride
			}
		}
	}()
	return stormRefused(at)
}

// takeOnlyPort leaves one port to choose from, and takes it.
func takeOnlyPort(at netip.Addr) error {
	if err := setSysctls(map[string]string{"ip_local_port_range": fmt.Sprintf("%d %d", lowPort, lowPort)}); err != nil {
		return err
	}
	to := netip.AddrPortFrom(at, 7002)
	if _, err := listeningSocket(to, 8); err != nil {
		return err
	}
	fd, err := socketFor("tcp", at)
	if err != nil {
		return err
	}
	return unix.Connect(fd, sockaddrOf(to))
}

func stormNoPort(at netip.Addr) error {
	return connectInALoop(netip.AddrPortFrom(at, 7002), unix.EADDRNOTAVAIL)
}

// connectInALoop is a program that tries again at once.
func connectInALoop(to netip.AddrPort, want error) error {
	n, err := strconv.Atoi(os.Getenv("BRINK_TEST_CONNECTS"))
	if err != nil {
		return err
	}
	for i := range n {
		fd, err := socketFor("tcp", to.Addr())
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, sockaddrOf(to)); err != want {
			return fmt.Errorf("connect %d: %w", i, err)
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	fmt.Println("failed", n)
	return nil
}
