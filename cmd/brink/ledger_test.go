package main

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/ledger"
	"brink/experiments/lab"
	"brink/loader"
)

// TestLedger: after any mix of 10,000 active closes, the ledger's balance equals
// the kernel's counters, on each rung that this kernel has; BRINK_RUNGS names
// those that it must have. BRINK_TEST_CLOSES says how many closes are enough, for
// an emulated processor.
func TestLedger(t *testing.T) {
	needRoot(t)
	required := []string{"tracepoint"}
	if names := os.Getenv("BRINK_RUNGS"); names != "" {
		required = strings.Split(names, ",")
	}
	for _, rung := range []loader.Rung{loader.Fentry, loader.Kprobe, loader.Tracepoint} {
		t.Run(rung.String(), func(t *testing.T) { untilToldWhole(t, rung, slices.Contains(required, rung.String())) })
	}
}

// untilToldWhole: where a program is interrupted in its work, the kernel skips it
// for what the interruption does: such a run proves nothing about the ledger.
// The kernel counts what it skips.
func untilToldWhole(t *testing.T, rung loader.Rung, required bool) {
	const tries = 4
	again := true
	for try := 1; try <= tries && again; try++ {
		t.Run(strconv.Itoa(try), func(t *testing.T) {
			again = false
			tracer := attachRung(t, rung, required)
			accounts := fillBooks(t, tracer)
			if skipped := notTold(tracer); skipped > 0 && try < tries {
				t.Logf("again: the kernel skipped %d runs", skipped)
				again = true
				return
			}
			for c, a := range accounts {
				checkAccount(t, c, a)
			}
		})
	}
}

// fillBooks has connections closed in labs and returns their accounts.
func fillBooks(t *testing.T, tracer *loader.Tracer) map[*closer]*ledger.Account {
	mixed := newCloser(t, "mixed", map[string]string{"net.ipv4.tcp_tw_reuse": "0", "net.ipv4.tcp_max_tw_buckets": "100000"})
	hasty := newCloser(t, "with short timers", map[string]string{"net.ipv4.tcp_fin_timeout": "1"})
	full := newCloser(t, "full", map[string]string{"net.ipv4.tcp_max_tw_buckets": "100"})
	short := newCloser(t, "short of ports", map[string]string{"net.ipv4.tcp_tw_reuse": "1", "net.ipv4.ip_local_port_range": "40000 40049"})

	size := before(t, mixed)
	books, collect := keepBooks(t, tracer, mixed, hasty, full, short)
	start := time.Now()
	var served []lab.Socket
	for _, addr := range families {
		hasty.orphans(t, addr, 100)
		full.clientsClose(t, addr, 250)
		served = append(served, short.clientsClose(t, addr, 50))
	}
	ready := time.Now().Add(1500 * time.Millisecond) // tcp_tw_reuse wants a second's age
	mix(t, mixed, size-hasty.closes-full.closes-short.closes)
	time.Sleep(time.Until(ready))
	for _, listener := range served {
		short.reusedByConnect(t, listener, 50)
	}
	hasty.allByTimer(t)
	full.overflowed(t)
	closes := mixed.closes + hasty.closes + full.closes + short.closes
	accounts := closeBooks(t, books, collect, mixed, hasty, full, short)
	t.Logf("%d active closes in %v", closes, time.Since(start).Round(10*time.Millisecond))
	return accounts
}

func attachRung(t *testing.T, rung loader.Rung, required bool) *loader.Tracer {
	t.Helper()
	tracer := must[*loader.Tracer](t)(loader.Attach(loader.Options{Best: rung, Filter: loader.Filter{Dynamic: true}}))
	t.Cleanup(func() { tracer.Close() })
	if m := tracer.Mode("state"); m.Rung != rung && required {
		t.Fatalf("this kernel should have %s: %+v", rung, m.Refusals)
	} else if m.Rung != rung {
		t.Skipf("this kernel has no %s: %+v", rung, m.Refusals)
	}
	return tracer
}

// before closes 50 connections that the ledger will find there, and says how
// many more are to come.
func before(t *testing.T, c *closer) (closes int) {
	c.clientsClose(t, families[0], 25)
	c.clientsClose(t, families[1], 25)
	c.settle(t)
	c.wanted, c.closes = ledger.Figures{Before: 50}, 0
	if n, err := strconv.Atoi(os.Getenv("BRINK_TEST_CLOSES")); err == nil {
		return n
	}
	return 10000
}

func keepBooks(t *testing.T, tracer *loader.Tracer, labs ...*closer) (books, *collector.Collector) {
	t.Helper()
	for _, c := range labs {
		if err := tracer.AllowNetns(c.Netns()); err != nil {
			t.Fatal(err)
		}
	}
	b := openBooks(tracer, loader.Filter{})
	collect := newCollector(tracer, nil, b)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- collect.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b, collect
}

// mix closes in random ways, in batches of random sizes.
func mix(t *testing.T, c *closer, closes int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the mix's seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ways := []struct {
		most  int
		close func(*testing.T, netip.Addr, int)
	}{
		{500, func(t *testing.T, addr netip.Addr, n int) { c.clientsClose(t, addr, n) }}, {500, c.serversClose}, {200, c.orphansTurn}, {100, c.killed}, {100, c.reset}, {30, c.reusedBySYN},
	}
	for turn := 0; c.closes < closes; turn++ {
		way := ways[turn%len(ways)] // each at least once
		if turn >= len(ways) {
			way = ways[random.IntN(len(ways))]
		}
		way.close(t, families[random.IntN(len(families))], 1+random.IntN(way.most))
	}
}

func closeBooks(t *testing.T, b books, collect *collector.Collector, labs ...*closer) map[*closer]*ledger.Account {
	t.Helper()
	for _, c := range labs {
		c.settle(t)
	}
	if err := collect.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.End(ledger.Namespaces())
	accounts := map[*closer]*ledger.Account{}
	for _, a := range b.Accounts() {
		for _, c := range labs {
			if c.Netns() == a.Netns {
				accounts[c] = &a
				c.lasted = time.Since(c.born)
			}
		}
	}
	return accounts
}

func checkAccount(t *testing.T, c *closer, a *ledger.Account) {
	t.Logf("%s: %+v, by %+v, kernel %+v", c.name, a.Figures, a.By, *a.Kernel)
	if !a.Balanced() {
		t.Errorf("%s: differences %v: %s", c.name, a.Differences, a.Reason)
	}
	got := a.Figures
	got.Entered, got.EnteredFinWait2, got.Turned = got.Entered+got.EnteredFinWait2, 0, 0
	if c.lasted > 50*time.Second { // the first have left by now
		got.LeftTimer, c.wanted.LeftTimer = 0, 0
	}
	if got != c.wanted {
		t.Errorf("%s: figures\n%+v, not\n%+v", c.name, got, c.wanted)
	}
	sum := a.Other
	for _, d := range a.Destinations {
		sum.Entered, sum.Now = sum.Entered+d.Entered, sum.Now+d.Now
	}
	if sum.Entered != got.Entered || sum.Now != a.Now() {
		t.Errorf("%s: all destinations together entered %d and are %d: %+v", c.name, sum.Entered, sum.Now, a.Destinations)
	}
}
