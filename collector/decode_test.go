package collector

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"brink/bpf"
	"brink/collector/limits"
)

// good is one record of each kind.
func good() map[string][]byte {
	return map[string][]byte{
		"client":       clientLife(),
		"server":       serverLife(),
		"older":        olderLife(99),
		"limit hit":    refusal(limits.EphemeralPorts, 99),
		"conflict":     refusal(limits.BindConflict, 98),
		"time wait":    timeWaitStep(bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE, TimeWaitState),
		"state change": stateChange(SynSent, Established, bpf.BrinkRoleROLE_CLIENT),
	}
}

// bad are records that no kernel program of this build can have written. Each
// crash that the fuzzer finds becomes one more row.
func bad() map[string][]byte {
	client := clientLife()
	return map[string][]byte{
		"nothing":       nil,
		"half a header": client[:4],
		"only a header": client[:8],
		"short":         client[:len(client)-8],
		"long":          append(clientLife(), make([]byte, 8)...),
		"misaligned":    misaligned(client),
		"kind 0":        make([]byte, len(client)),
		"kind 5":        append([]byte{5, 0, 0, 0}, client[4:]...),
		"another kind":  append([]byte{byte(bpf.BrinkEventKindEVENT_REFUSED)}, client[1:]...),
		"a listener's end": clientLife(func(r *bpf.BrinkEndpointEnded) {
			r.Endpoint.Role = uint8(bpf.BrinkRoleROLE_LISTENER)
		}),
		"role 200": clientLife(func(r *bpf.BrinkEndpointEnded) { r.Endpoint.Role = 200 }),
		"refused role 200": refusal(limits.EphemeralPorts, 99, func(r *bpf.BrinkRefused) {
			r.Role = 200
		}),
		"outcome 5":          refusal(limits.EphemeralPorts, 99, func(r *bpf.BrinkRefused) { r.Outcome = 5 }),
		"failure 9":          clientLife(func(r *bpf.BrinkEndpointEnded) { r.Failure = 9 }),
		"limit none":         refusal(limits.None, 99),
		"limit count":        refusal(Limit(bpf.BrinkLimitLIMIT_COUNT), 99),
		"limit -1":           refusal(^Limit(0), 99),
		"time wait step 0":   timeWaitStep(0, TimeWaitState),
		"time wait step 5":   timeWaitStep(5, TimeWaitState),
		"time wait step -1":  timeWaitStep(^bpf.BrinkTimeWaitEvent(0), TimeWaitState),
		"time wait state 0":  timeWaitStep(bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE, 0),
		"time wait state 14": timeWaitStep(bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE, 14),
		"from state 0":       stateChange(0, Established, bpf.BrinkRoleROLE_CLIENT),
		"to state 14":        stateChange(SynSent, 14, bpf.BrinkRoleROLE_CLIENT),
		"to state 257":       stateNumber(257), // 1 when cut to a byte
		"state role 4":       stateChange(SynSent, Established, 4),
	}
}

func stateNumber(n uint32) []byte {
	b := stateChange(SynSent, Established, bpf.BrinkRoleROLE_CLIENT)
	(*bpf.BrinkStateChanged)(unsafe.Pointer(unsafe.SliceData(b))).NewState = n
	return b
}

// misaligned moves a record to where its 64-bit fields are not aligned.
func misaligned(b []byte) []byte {
	moved := make([]byte, len(b)+4)
	copy(moved[4:], b)
	return moved[4:]
}

func TestUndecodable(t *testing.T) {
	for name, record := range bad() {
		t.Run(name, func(t *testing.T) {
			err := NewTable(booted).Apply(record, func(f Fact) { t.Errorf("it became a %s", f.Kind()) })
			if !errors.Is(err, errUndecodable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, records := range []map[string][]byte{good(), bad()} {
		for _, record := range records {
			f.Add(record)
		}
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) == 0 {
			return
		}
		// the fuzzer's slices may lie anywhere, the ring buffer's do not
		aligned := make([]byte, len(record))
		copy(aligned, record)
		table := NewTable(booted)
		table.Remember(Known{Cookie: 99, State: Established, Owner: Owner{PID: 1}})
		if err := table.Apply(aligned, func(f Fact) { checkFact(t, f) }); err != nil && !errors.Is(err, errUndecodable) {
			t.Fatal(err)
		}
	})
}

// checkFact visits a fact as a sink does; that must not panic, and each word of
// the vocabulary must be one.
func checkFact(t *testing.T, f Fact) {
	if owner := ownerIn(f); owner != nil {
		owner.Cgroup = 0 // an unknown one costs a walk over the hierarchy
	}
	f.Visit(&recorder{t: t})
}

func ownerIn(f Fact) *Owner {
	switch f := f.(type) {
	case *Connection:
		return &f.Owner
	case *LimitHit:
		return &f.Owner
	case *BindConflict:
		return &f.Owner
	case *StateChange:
		return &f.Owner
	}
	return nil
}

func TestApplyDoesNotAllocate(t *testing.T) {
	for name, record := range good() {
		table := NewTable(booted)
		n := testing.AllocsPerRun(100, func() {
			if err := table.Apply(record, func(Fact) {}); err != nil {
				t.Fatal(err)
			}
		})
		equal(t, name+": allocations", n, 0)
	}
}

func BenchmarkApplyConnection(b *testing.B)  { benchmarkApply(b, clientLife()) }
func BenchmarkApplyPreexisting(b *testing.B) { benchmarkApply(b, olderLife(99)) }
func BenchmarkApplyLimitHit(b *testing.B)    { benchmarkApply(b, refusal(limits.EphemeralPorts, 99)) }
func BenchmarkApplyConflict(b *testing.B)    { benchmarkApply(b, refusal(limits.BindConflict, 98)) }
func BenchmarkApplyTimeWait(b *testing.B) {
	benchmarkApply(b, timeWaitStep(bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE, TimeWaitState))
}
func BenchmarkApplyStateChange(b *testing.B) {
	benchmarkApply(b, stateChange(SynSent, Established, bpf.BrinkRoleROLE_CLIENT))
}

func benchmarkApply(b *testing.B, record []byte) {
	table := NewTable(time.Now())
	emit := func(Fact) {}
	b.ReportAllocs()
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		if err := table.Apply(record, emit); err != nil {
			b.Fatal(err)
		}
	}
}
