package collector

import (
	"os"
	"testing"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

type stormMap = map[bpf.BrinkStormKey]bpf.BrinkStorm

var (
	noPort  = bpf.BrinkStormKey{Limit: bpf.BrinkLimitLIMIT_EPHEMERAL_PORTS, Error: uint32(unix.EADDRNOTAVAIL), Netns: 1, Pid: 812}
	refused = bpf.BrinkStormKey{Error: uint32(unix.ECONNREFUSED), Netns: 1, Pid: 812}
)

// What the kernel counted without a record is told once, as it grows.
func TestStormsAreToldAsTheyGrow(t *testing.T) {
	var s storms
	told := func(now stormMap) (sum uint64) {
		for _, f := range s.since(now) {
			switch f := f.(type) {
			case *LimitHit:
				equal(t, "limit", f.Limit, limits.EphemeralPorts)
				equal(t, "errno", f.Errno, unix.EADDRNOTAVAIL)
				equal(t, "pid", f.Owner.PID, 812)
				sum += f.Count
			case *ConnectFailures:
				equal(t, "failure", f.Failure, Refused)
				equal(t, "errno", f.Errno, unix.ECONNREFUSED)
				sum += 1000 * f.Count
			}
		}
		return sum
	}
	owner := bpf.BrinkOwner{Pid: 812}
	port := func(n uint64) bpf.BrinkStorm { return bpf.BrinkStorm{Untold: n, Owner: owner} }
	connect := func(n uint64) bpf.BrinkStorm {
		return bpf.BrinkStorm{Untold: n, Owner: owner, Failure: uint8(Refused)}
	}
	equal(t, "nothing", told(nil), 0)
	equal(t, "first", told(stormMap{noPort: port(5)}), 5)
	equal(t, "unchanged", told(stormMap{noPort: port(5)}), 0)
	equal(t, "both grow", told(stormMap{noPort: port(7), refused: connect(3)}), 3002)
	equal(t, "begun anew", told(stormMap{noPort: port(1), refused: connect(3)}), 1)
	equal(t, "gone", told(nil), 0)
	equal(t, "back", told(stormMap{noPort: port(4)}), 3)
}

// Sync tells storms too: an experiment's evidence must be whole.
func TestSyncTellsStorms(t *testing.T) {
	source := newSource()
	source.storms = stormMap{noPort: {Untold: 5}}
	bubble(t, source, func(t *testing.T, c *Collector, k *keeper) {
		done := make(chan error, 1)
		go func() { done <- c.Run(t.Context()) }()
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "told", k.kinds(), "limit_hit ")
		source.end(os.ErrClosed)
		<-done
	})
}
