package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"brink/collector/jsonl"
	"brink/collector/ledger"
	"brink/loader"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v2"
)

// books are a trace's TIME_WAIT ledger.
type books struct{ *ledger.Ledger }

// openBooks begins the ledger; the programs are attached already, so that
// nothing enters between the first reading and the first fact.
func openBooks(t *loader.Tracer, f loader.Filter) books {
	b := newBooks(t, f)
	b.Begin(ledger.Namespaces())
	return b
}

func newBooks(t *loader.Tracer, f loader.Filter) books {
	countsEntries, err := ledger.CountsEntries()
	if err != nil {
		fmt.Fprintf(os.Stderr, "brink: %v\n", err)
	}
	return books{ledger.New(ledger.Options{
		Hooked:        endsToldBy(t) && f.PID == 0 && f.Cgroup == "",
		CountsEntries: countsEntries,
		Filtered:      filterInWords(f),
		Netns:         f.Netns,
		Lost:          func() uint64 { return notTold(t) },
	})}
}

var timeWaitHooks = []string{"state", "time_wait_enter", "time_wait_leave", "time_wait_reuse_connect", "time_wait_reuse_syn"}

// notTold is what the ledger may lack. A state change that meets the program at
// work, on the CPU that it interrupted, is skipped.
func notTold(t *loader.Tracer) uint64 {
	skipped := t.Skipped(timeWaitHooks...)
	counts, err := t.Counts()
	if err != nil {
		return skipped
	}
	return skipped + counts.Lost + counts.Untracked + counts.Missed
}

// endsToldBy: one hook tells that a timewait socket ends, two others mark those
// that were reused.
func endsToldBy(t *loader.Tracer) bool {
	for _, hook := range timeWaitHooks[2:] {
		if t.Mode(hook).Rung >= loader.Poll {
			return false
		}
	}
	return true
}

// filterInWords names a filter that splits a namespace; nobody owns a timewait
// socket, so that its end passes no filter by owner.
func filterInWords(f loader.Filter) string {
	switch {
	case f.PID != 0:
		return "--pid"
	case f.Cgroup != "":
		return "--cgroup"
	case f.Port != 0:
		return "--port"
	case len(f.CIDRs) > 0:
		return "--cidr"
	}
	return ""
}

// keep looks after the books until ctx is done, takes the last reading, and
// then has the collector stop: what the kernel told until then is read first.
func (b books) keep(ctx context.Context, stopCollector func()) {
	defer stopCollector()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			b.End(ledger.Namespaces())
			return
		case <-tick.C:
			b.Look(ledger.Namespaces())
		}
	}
}

// tell is a line for each namespace that had any timewait socket. Refusals alone
// make no books.
func (b books) tell(c *cli.Context, out io.Writer) error {
	if c.Bool("limit-hits") {
		return nil
	}
	accounts := b.Accounts()
	if n := b.Dropped(); n > 0 {
		fmt.Fprintf(os.Stderr, "brink: the TIME_WAIT ledger no longer has %d namespaces that went\n", n)
	}
	if !c.Bool("json") {
		tellBalances(os.Stderr, accounts)
		return nil
	}
	for i := range accounts {
		if _, err := out.Write(jsonl.Marshal(ledger.Kind, accounts[i].Visit)); err != nil {
			return err
		}
	}
	return nil
}

func tellBalances(w io.Writer, accounts []ledger.Account) {
	if len(accounts) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w)
	t.AppendHeader(table.Row{"TIME_WAIT in netns", "before", "entered", "as FIN_WAIT2", "turned", "by timer", "early",
		"reused: connect", "SYN", "overflowed", "now", "difference"})
	for i := range accounts {
		a := &accounts[i]
		t.AppendRow(table.Row{a.Netns, a.Before, a.Entered, a.EnteredFinWait2, a.Turned,
			a.LeftTimer, a.LeftEarly, a.ReusedConnect, a.ReusedSYN, a.Overflowed, a.Now(), differences(a)})
	}
	t.Render()
	for i := range accounts {
		if a := &accounts[i]; a.Reason != "" {
			fmt.Fprintf(w, "netns %d: %s\n", a.Netns, a.Reason)
		}
	}
}

// differences are what the kernel's counters do not confirm.
func differences(a *ledger.Account) (s string) {
	if a.Kernel == nil {
		return "?"
	}
	if a.Balanced() {
		return "0"
	}
	for _, d := range a.Differences {
		if d.By != 0 {
			s += fmt.Sprintf("%s %+d ", d.Figure, d.By)
		}
	}
	return s[:len(s)-1]
}
