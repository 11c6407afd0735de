package experiments

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"brink/collector"
	"brink/collector/limits"
	"brink/experiments/lab"
)

func judged(t *testing.T, what string, r Result, verdict Verdict, reason string) {
	t.Helper()
	equal(t, what, r.Verdict, verdict)
	equal(t, what+": reason", r.Reason, reason)
}

func TestRunHeld(t *testing.T) {
	k, said := &fakeKernel{told: fourPortsTold()}, ""
	newBench(t) // or skip
	var began Experiment
	var ended Result
	r := (&Runner{
		Kernel: k,
		Began:  func(e Experiment) { began = e }, Ended: func(r Result) { ended = r },
		Progress: func(format string, _ ...any) { said += format + "\n" },
	}).Run(deadline(t), fourPorts())
	judged(t, "four ports", r, Held, "")
	equal(t, "predicted", r.Predicted.Value, 4)
	equal(t, "measured", r.Measured.Value, 4)
	equal(t, "measured errno", r.Measured.Errno, "EADDRNOTAVAIL")
	equal(t, "endpoints", r.Evidence.Connections, 8)
	equal(t, "hook", r.Evidence.Hits[0].Hook, "fake")
	equal(t, "legs beside the only one", len(r.Legs), 0)
	equal(t, "began", began.Name, "test")
	equal(t, "ended", ended.Verdict, Held)
	equal(t, "lines of progress", strings.Count(said, "\n"), 2)
	equal(t, "leg", strings.Join(k.legs, ","), "IPv4")
	k.nothingLeft(t)
}

// TestEvidenceDropped: what the kernel does not tell, or tells too often, is
// never held.
func TestEvidenceDropped(t *testing.T) {

	for _, row := range []struct {
		name    string
		drop    func(*fakeKernel)
		verdict Verdict
		reason  string
	}{
		{"the refusal", func(k *fakeKernel) { k.told.Hits = nil }, Refuted,
			"measured 1 refusals, the kernel told of 0 by ephemeral_ports"},
		{"an endpoint", func(k *fakeKernel) { k.told.Connections = 7 }, Refuted,
			"measured 8 established endpoints, the kernel told of 7"},
		{"all of it", func(k *fakeKernel) { k.told.Connections, k.told.Hits = 0, nil }, Refuted,
			"measured 8 established endpoints, the kernel told of 0"},
		{"an event, and it is known", func(k *fakeKernel) { k.lost = 3 }, Inconclusive,
			"3 pieces of kernel evidence were lost"},
		{"the refusal, and it is known", func(k *fakeKernel) { k.lost, k.told.Hits = 1, nil }, Inconclusive,
			"1 pieces of kernel evidence were lost"},
		{"a hook", func(k *fakeKernel) { k.mode = modeNone }, Inconclusive, withoutEvidence},
		{"a timewait too many", func(k *fakeKernel) {
			k.told.TimeWaits = map[collector.TimeWaitEvent]int{collector.TimeWaitEnter: 1}
		}, Refuted, "measured 0 active closes, the kernel told of 1 timewait sockets"},
	} {
		k := &fakeKernel{told: fourPortsTold()}
		row.drop(k)
		r := run(t, k, fourPorts())
		judged(t, row.name, r, row.verdict, row.reason)
		equal(t, row.name+": predicted all the same", r.Predicted.Value, 4)
		equal(t, row.name+": measured all the same", r.Measured.Value, 4)
	}
}

// TestLossIsTheLegs: what was lost before a leg is not held against it.
func TestLossIsTheLegs(t *testing.T) {
	k := &fakeKernel{told: fourPortsTold(), total: 1000}
	judged(t, "losses of earlier", run(t, k, fourPorts()), Held, "")
}

func TestKernelFails(t *testing.T) {
	broken := errors.New("the ring is broken")
	for name, row := range map[string]struct {
		kernel fakeKernel
		reason string
	}{
		"watch":    {fakeKernel{watchErr: broken}, "the ring is broken"},
		"settle":   {fakeKernel{settleErr: broken}, "the ring is broken"},
		"evidence": {fakeKernel{evidenceErr: broken}, "wait for the kernel's evidence: the ring is broken"},
		"lost":     {fakeKernel{lostErr: broken}, "the ring is broken"},
	} {
		k := row.kernel
		k.told = fourPortsTold()
		r := run(t, &k, fourPorts())
		judged(t, name, r, Inconclusive, row.reason)
		equal(t, name+": mode", r.Evidence.Mode, modeNone)
	}
}

// TestLimitChangedBehindItsBack: the prediction is of the settings before.
func TestLimitChangedBehindItsBack(t *testing.T) {
	for _, row := range []struct {
		name, limits, reserved string
		reason                 string
	}{
		{"lowered", "40000 40001", "", "predicted 4 connections, measured 2 (EADDRNOTAVAIL)"},
		{"raised", "40000 40007", "", "predicted 4 connections, measured 8 (EADDRNOTAVAIL)"},
		{"a port reserved", "40000 40003", "40001", "predicted 4 connections, measured 3 (EADDRNOTAVAIL)"},
	} {
		k := &fakeKernel{told: fourPortsTold()}
		r := run(t, k, fourPorts(behindItsBack(setting(
			"net.ipv4.ip_local_port_range", row.limits, "net.ipv4.ip_local_reserved_ports", row.reserved))))
		judged(t, row.name, r, Refuted, row.reason)
	}
}

// TestQueueChangedBehindItsBack: listen() has looked at somaxconn already, so
// the prediction reads what is not in force.
func TestQueueChangedBehindItsBack(t *testing.T) {
	e := oneLeg(nobodyAccepts(IPv4, 8), prepared(setting("net.core.somaxconn", "3")))
	e.Limit = limits.AcceptQueue
	judged(t, "somaxconn lowered after listen()", run(t, &fakeKernel{}, e), Refuted,
		"predicted 4 connections, measured 7 (no refusal)")
}

// TestServerGone: nobody listens any more when the clients come.
func TestServerGone(t *testing.T) {
	k := &fakeKernel{told: fourPortsTold()}
	r := run(t, k, fourPorts(behindItsBack(func(ctx context.Context, b *Bench) error {
		s := b.servers[0]
		_, err := s.worker.CloseSockets(ctx, s.listener.Sockets(), lab.CloseNormally)
		return err
	})))
	judged(t, "server gone", r, Refuted, "predicted 4 connections, measured 0 (ECONNREFUSED)")
}

// TestServerClosesEarly: it accepts, and closes before it has said a word.
func TestServerClosesEarly(t *testing.T) {
	at := IPv4.at(1, firstPort)
	closed := make(chan error, 1)
	leg := oneToEach(IPv4, 1, twoPorts(IPv4))
	leg.Prepare = func(ctx context.Context, b *Bench) error {
		if err := b.pair(ctx); err != nil {
			return err
		}
		s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: at})
		go func() {
			_, err := b.Server.AcceptN(ctx, s.Handle, lab.AcceptOptions{Count: 1})
			_, closeErr := b.Server.CloseAccepted(ctx, s.Handle, lab.CloseNormally)
			closed <- errors.Join(err, closeErr)
		}()
		return err
	}
	r := run(t, &fakeKernel{}, oneLeg(leg))
	noError(t, <-closed)
	judged(t, "server closes", r, Refuted, "predicted 2 connections, measured 0 (ENODATA)")
}

// TestServerKilled: the push cannot be counted, so nothing is judged.
func TestServerKilled(t *testing.T) {
	r := run(t, &fakeKernel{}, fourPorts(behindItsBack(func(_ context.Context, b *Bench) error {
		return b.servers[0].worker.Kill()
	})))
	equal(t, "server killed", r.Verdict, Inconclusive)
	if !strings.Contains(r.Reason, lab.ErrEnded.Error()) {
		t.Errorf("the reason is %q", r.Reason)
	}
}

// TestInterrupted: in the middle of a push that would take a minute.
func TestInterrupted(t *testing.T) {
	newBench(t) // or skip
	ctx, cancel := context.WithCancel(deadline(t))
	k := &fakeKernel{told: fourPortsTold()}
	e := fourPorts(behindItsBack(func(_ context.Context, b *Bench) error {
		cancel()
		return nil
	}))
	r := (&Runner{Kernel: k}).Run(ctx, e)
	judged(t, "interrupted", r, Inconclusive, "interrupted")
	equal(t, "predicted", r.Predicted.Value, 4)
	equal(t, "measured", r.Measured == nil, true)
	equal(t, "watches ended", k.released, 1)
	k.nothingLeft(t)
}

// TestInterruptedDuringASystemCall: a worker is waiting for an answer that never
// comes.
func TestInterruptedDuringASystemCall(t *testing.T) {
	newBench(t) // or skip
	ctx, cancel := context.WithCancel(deadline(t))
	leg := nobodyAccepts(IPv4, 4)
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		go cancel()
		_, err := b.Server.AcceptN(ctx, b.Listeners[0].Handle, lab.AcceptOptions{Count: 1})
		return Measurement{}, err
	}
	k := &fakeKernel{}
	r := (&Runner{Kernel: k}).Run(ctx, oneLeg(leg))
	judged(t, "interrupted", r, Inconclusive, "interrupted")
	k.nothingLeft(t)
}

// TestInterruptedBetweenLegs: the first leg has held, and that is not enough.
func TestInterruptedBetweenLegs(t *testing.T) {
	newBench(t) // or skip
	ctx, cancel := context.WithCancel(deadline(t))
	k := &fakeKernel{told: fourPortsTold(), ended: cancel}
	e := fourPorts()
	first := e.Legs(Size{})[0]
	second := first
	second.Name = "again"
	e.Legs = func(Size) []Leg { return []Leg{first, second} }
	r := (&Runner{Kernel: k}).Run(ctx, e)
	judged(t, "interrupted", r, Inconclusive, "again: interrupted")
	equal(t, "legs", len(r.Legs), 2)
	equal(t, "the first leg", r.Legs[0].Verdict, Held)
	equal(t, "labs", len(k.watched), 1)
}

// TestNoLab: without a descriptor left there is none to be had.
func TestNoLab(t *testing.T) {
	var limit syscall.Rlimit
	noError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	noError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}))
	k := &fakeKernel{}
	r := (&Runner{Kernel: k}).Run(deadline(t), fourPorts())
	noError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	equal(t, "no lab", r.Verdict, Inconclusive)
	if !strings.Contains(r.Reason, "make a private network namespace") || !strings.Contains(r.Reason, "too many open files") {
		t.Errorf("the reason is %q", r.Reason)
	}
	equal(t, "watched", len(k.watched), 0)
	equal(t, "predicted", r.Predicted == nil, true)
}

func TestSkipped(t *testing.T) {
	leg := exhaustPorts(IPv4, smallRange)
	leg.Prepare = func(context.Context, *Bench) error { return skipf("no %s here", "NAT") }
	k := &fakeKernel{}
	judged(t, "skipped", run(t, k, oneLeg(leg)), Skipped, "no NAT here")
	equal(t, "watches ended", k.released, 1)
}

// TestLegFails: each step's error is the reason.
func TestLegFails(t *testing.T) {
	broken := errors.New("no such thing")
	for name, edit := range map[string]func(*Leg){
		"prepare": prepared(func(context.Context, *Bench) error { return broken }),
		"predict": behindItsBack(func(context.Context, *Bench) error { return broken }),
		"push": func(l *Leg) {
			l.Push = func(context.Context, *Bench) (Measurement, error) { return Measurement{}, broken }
		},
	} {
		k := &fakeKernel{}
		judged(t, name, run(t, k, fourPorts(edit)), Inconclusive, "no such thing")
		equal(t, name+": watches ended", k.released, 1)
	}
}
