package collector

import (
	"testing"

	"brink/bpf"

	"golang.org/x/sys/unix"
)

func orphaned(r *bpf.BrinkEndpointEnded) { r.Endpoint.Flags = flagTimeWaitFinWait2 }

func fromLastAck(r *bpf.BrinkEndpointEnded) { r.LastState = uint32(LastAck) }

// turns are the true TIME_WAITs told when both ends of one connection end.
func turns(t *testing.T, table *Table, server []byte) (told []*TimeWait) {
	t.Helper()
	for _, record := range [][]byte{clientLife(orphaned), server, server} {
		for _, f := range applied(t, table, record) {
			if w, ok := f.(*TimeWait); ok && w.State == TimeWaitState {
				told = append(told, w)
			}
		}
	}
	return told
}

func TestOrphanTurnsWhenItsPeerEnds(t *testing.T) {
	table := NewTable(booted)
	table.InferTurns()
	told := turns(t, table, serverLife(fromLastAck))
	if len(told) != 1 {
		t.Fatalf("told %d times, not once", len(told))
	}
	equal(t, "local", told[0].Local, clientEnd)
	equal(t, "peer", told[0].Peer, serverEnd)
	equal(t, "owner", told[0].Owner.PID, 812)
	equal(t, "event", told[0].Event, TimeWaitEnter)
}

func TestOrphanDoesNotTurn(t *testing.T) {
	for name, edit := range map[string]func(*bpf.BrinkEndpointEnded){
		"reset":             func(r *bpf.BrinkEndpointEnded) { fromLastAck(r); r.Error = uint32(unix.ECONNRESET) },
		"other last state":  func(r *bpf.BrinkEndpointEnded) { r.LastState = uint32(CloseWait) },
		"other namespace":   func(r *bpf.BrinkEndpointEnded) { fromLastAck(r); r.Endpoint.Netns++ },
		"other peer's port": func(r *bpf.BrinkEndpointEnded) { fromLastAck(r); r.Endpoint.Tuple.PeerPort++ },
	} {
		table := NewTable(booted)
		table.InferTurns()
		if told := turns(t, table, serverLife(edit)); len(told) != 0 {
			t.Errorf("%s: a turn is told", name)
		}
	}
	if told := turns(t, NewTable(booted), serverLife(fromLastAck)); len(told) != 0 {
		t.Error("a turn is inferred although a hook tells of them")
	}
}
