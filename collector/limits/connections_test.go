package limits

import (
	"net/netip"
	"slices"
	"testing"

	"brink/collector/sockdiag"
)

func TestCountStates(t *testing.T) {
	at := func(address string, state uint8) sockdiag.Socket {
		return sockdiag.Socket{Local: netip.MustParseAddrPort(address), State: state}
	}
	var counted states
	for _, s := range []sockdiag.Socket{
		at("127.0.0.1:1", 1), at("127.0.0.1:2", 1), at("[::1]:3", 1), at("0.0.0.0:4", listening),
		at("0.0.0.0:5", boundInactive), at("127.0.0.1:6", 99), // a state newer than brink
	} {
		counted.add(&s)
	}
	got := counted.list(7)
	want := []Connections{
		{7, false, 1, 2}, {7, false, listening, 1}, {7, false, boundInactive, 1}, {7, true, 1, 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
