package collector

import (
	"errors"
	"unsafe"

	"brink/bpf"
)

// errUndecodable is a record that is not one of event.h's structs.
var errUndecodable = errors.New("undecodable record")

// Record is a decoded kernel record: exactly one field is set, and it points
// into the bytes it was decoded from.
type record struct {
	ended    *bpf.BrinkEndpointEnded
	changed  *bpf.BrinkStateChanged
	refused  *bpf.BrinkRefused
	timeWait *bpf.BrinkTimeWait
}

// decode casts the bytes to the struct that their header names. That is safe
// because the kernel side has no hidden padding (-Wpadded), bpf2go mirrors its
// layout, and the size must match to the byte; it costs 3 ns where
// encoding/binary costs 450.
func decode(b []byte) (r record, err error) {
	if len(b) < 8 {
		return r, errUndecodable
	}
	switch bpf.BrinkEventKind(*(*uint32)(unsafe.Pointer(unsafe.SliceData(b)))) {
	case bpf.BrinkEventKindEVENT_ENDPOINT_ENDED:
		r.ended, err = cast[bpf.BrinkEndpointEnded](b)
	case bpf.BrinkEventKindEVENT_STATE_CHANGED:
		r.changed, err = cast[bpf.BrinkStateChanged](b)
	case bpf.BrinkEventKindEVENT_REFUSED:
		r.refused, err = cast[bpf.BrinkRefused](b)
	case bpf.BrinkEventKindEVENT_TIME_WAIT:
		r.timeWait, err = cast[bpf.BrinkTimeWait](b)
	default:
		err = errUndecodable
	}
	if err == nil && !r.valid() {
		return record{}, errUndecodable
	}
	return r, err
}

// valid reports whether the numbers that stand for something are ones that
// event.h and the kernel's states know: the table looks them up.
func (r record) valid() bool {
	switch {
	case r.ended != nil:
		return r.ended.Endpoint.Role < uint8(RoleListener) && r.ended.Failure < uint8(bpf.BrinkFailureFAILURE_COUNT)
	case r.changed != nil:
		s := r.changed
		return s.Role <= bpf.BrinkRoleROLE_LISTENER && isState(s.OldState) && isState(s.NewState)
	case r.refused != nil:
		return r.refused.Role < uint8(RoleListener) && int(r.refused.Outcome) < len(outcomeNames) &&
			r.refused.Limit > bpf.BrinkLimitLIMIT_NONE && r.refused.Limit < bpf.BrinkLimitLIMIT_COUNT
	}
	w := r.timeWait
	return w.Event > 0 && int(w.Event) < len(timeWaitEvents) && isState(w.Substate)
}

func isState(n uint32) bool { return n > 0 && n < uint32(len(stateNames)) }

// cast needs 8-byte alignment, which ring buffer samples and heap slices have.
func cast[T any](b []byte) (*T, error) {
	var t T
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(len(b)) != unsafe.Sizeof(t) || uintptr(p)%8 != 0 {
		return nil, errUndecodable
	}
	return (*T)(p), nil
}
