package loader

import (
	"errors"
	"fmt"
	"time"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// tallyKeysBefore6_1 bounds the tally's maps where they are allocated at once.
const tallyKeysBefore6_1 = 512

var tallyMaps = []string{bpf.BrinkMapTallyLives, bpf.BrinkMapTallyTimeWaits}

// applyTally leaves the tally's maps empty where there is none.
func (o Options) applyTally(spec *ebpf.CollectionSpec) {
	for _, name := range tallyMaps {
		m := spec.Maps[name]
		switch {
		case !o.Tally:
			m.MaxEntries = 1
		case preallocate():
			m.Flags &^= unix.BPF_F_NO_PREALLOC
			m.MaxEntries = tallyKeysBefore6_1
		}
	}
	if !o.Tally {
		spec.Maps[bpf.BrinkMapSampledTimewaits].MaxEntries = 1
	}
}

// sampleBelow is the bound of OpenTelemetry's TraceIDRatioBased: a ratio's share
// of 2^63.
func sampleBelow(ratio float64) uint64 {
	const all = 1 << 63
	switch {
	case !(ratio > 0): // NaN too
		return 0
	case ratio >= 1:
		return all
	}
	return uint64(ratio * all)
}

// makeOverflow makes the keys of namespace 0, for which a full tally counts.
func (t *Tracer) makeOverflow() error {
	if !t.options.Tally {
		return nil
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	lives, timeWaits := t.maps[bpf.BrinkMapTallyLives], t.maps[bpf.BrinkMapTallyTimeWaits]
	none, zeros := make([]bpf.BrinkLives, cpus), make([]uint64, cpus)
	var errs []error
	for role := bpf.BrinkRoleROLE_UNKNOWN; role < bpf.BrinkRoleROLE_LISTENER; role++ {
		for failure := bpf.BrinkFailureFAILURE_NONE; failure < bpf.BrinkFailureFAILURE_COUNT; failure++ {
			for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
				key := bpf.BrinkLivesKey{Role: uint8(role), Family: family, Failure: uint8(failure)}
				errs = append(errs, patiently(func() error { return lives.Put(key, none) }))
			}
		}
	}
	for event := bpf.BrinkTimeWaitEventTIME_WAIT_ENTER; event <= bpf.BrinkTimeWaitEventTIME_WAIT_OVERFLOW; event++ {
		for _, substate := range []uint8{finWait2, timeWait} {
			key := bpf.BrinkTimeWaitsKey{Event: uint8(event), Substate: substate}
			errs = append(errs, patiently(func() error { return timeWaits.Put(key, zeros) }))
		}
	}
	return errors.Join(errs...)
}

// patiently repeats what the kernel has no memory for at this moment. A key of a map
// that is not preallocated takes a place on each CPU out of a few pages that the
// kernel keeps at hand (PCPU_EMPTY_POP_PAGES_LOW); it gets more in the background,
// later than many keys in a row need them (seen on 6.12 with one CPU).
func patiently(put func() error) error {
	err := put()
	for try := 1; errors.Is(err, unix.ENOMEM) && try < triesForMemory; try++ {
		time.Sleep(time.Millisecond)
		err = put()
	}
	return err
}

const triesForMemory = 1000

// include/net/tcp_states.h: the kinds of timewait sockets.
const finWait2, timeWait = 5, 6

// Lives are the sums of a tally, added up over the CPUs. Namespace 0 has what the
// full map had no room for. Empty without Options.Tally.
func (t *Tracer) Lives() (map[bpf.BrinkLivesKey]bpf.BrinkLives, error) {
	all := map[bpf.BrinkLivesKey]bpf.BrinkLives{}
	if t.blocked != nil || !t.options.Tally {
		return all, nil
	}
	var key bpf.BrinkLivesKey
	var perCPU []bpf.BrinkLives
	each := t.maps[bpf.BrinkMapTallyLives].Iterate()
	for each.Next(&key, &perCPU) {
		var sum bpf.BrinkLives
		for i := range perCPU {
			addLives(&sum, &perCPU[i])
		}
		if sum.Opened+sum.Ended > 0 {
			all[key] = sum
		}
	}
	return all, wrap("read the tally of connections", each.Err())
}

func addLives(sum, n *bpf.BrinkLives) {
	sum.Opened += n.Opened
	sum.Ended += n.Ended
	sum.BytesSent += n.BytesSent
	sum.BytesReceived += n.BytesReceived
	sum.Retransmits += n.Retransmits
	sum.HandshakeNs += n.HandshakeNs
	sum.LifetimeNs += n.LifetimeNs
	sum.TimeWaits += n.TimeWaits
	sum.Orphans += n.Orphans
	sum.Overflows += n.Overflows
	for i := range sum.Handshake {
		sum.Handshake[i] += n.Handshake[i]
		sum.Lifetime[i] += n.Lifetime[i]
	}
}

// TimeWaits are the steps of timewait sockets that a tally counted, likewise: their
// beginnings with the connections before them, all else by itself.
func (t *Tracer) TimeWaits() (map[bpf.BrinkTimeWaitsKey]uint64, error) {
	all := map[bpf.BrinkTimeWaitsKey]uint64{}
	if t.blocked != nil || !t.options.Tally {
		return all, nil
	}
	lives, err := t.Lives()
	if err != nil {
		return all, err
	}
	for key, sums := range lives {
		addSuccessors(all, key.Netns, &sums)
	}
	var key bpf.BrinkTimeWaitsKey
	var perCPU []uint64
	each := t.maps[bpf.BrinkMapTallyTimeWaits].Iterate()
	for each.Next(&key, &perCPU) {
		var sum uint64
		for _, n := range perCPU {
			sum += n
		}
		if sum > 0 {
			all[key] += sum
		}
	}
	return all, wrap("read the tally of timewait sockets", each.Err())
}

func addSuccessors(all map[bpf.BrinkTimeWaitsKey]uint64, netns uint32, sums *bpf.BrinkLives) {
	for _, s := range []struct {
		event    bpf.BrinkTimeWaitEvent
		substate uint8
		n        uint64
	}{
		{bpf.BrinkTimeWaitEventTIME_WAIT_ENTER, timeWait, sums.TimeWaits},
		{bpf.BrinkTimeWaitEventTIME_WAIT_ENTER, finWait2, sums.Orphans},
		{bpf.BrinkTimeWaitEventTIME_WAIT_OVERFLOW, timeWait, sums.Overflows},
	} {
		if s.n > 0 {
			all[bpf.BrinkTimeWaitsKey{Netns: netns, Event: uint8(s.event), Substate: s.substate}] += s.n
		}
	}
}

// ForgetNetns drops a namespace's sums: one that is gone, or the maps fill up
// with those of the past.
func (t *Tracer) ForgetNetns(netns uint32) error {
	lives, err := t.Lives()
	timeWaits, err2 := t.TimeWaits()
	errs := []error{err, err2}
	for key := range lives {
		if key.Netns == netns {
			errs = append(errs, t.maps[bpf.BrinkMapTallyLives].Delete(key))
		}
	}
	for key := range timeWaits {
		if key.Netns == netns {
			err := t.maps[bpf.BrinkMapTallyTimeWaits].Delete(key)
			if !errors.Is(err, ebpf.ErrKeyNotExist) { // it was told with a connection
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
