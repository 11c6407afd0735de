package experiments

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestBuffersMoveBoth: other buffers, and prediction and measurement change
// together. An accepted socket has its listener's receive buffer, so that one is
// left alone.
func TestBuffersMoveBoth(t *testing.T) {
	for send, want := range map[string]int{"524288": 3 << 19, "2097152": 3 << 20} {
		r := run(t, noKernel(), oneLeg(fullBuffers(IPv4), prepared(setting("net.ipv4.tcp_wmem", "4096 "+send+" "+send))))
		judged(t, send, r, Inconclusive, withoutEvidence)
		equal(t, "predicted", r.Predicted.Value, want)
		equal(t, "agrees", Prediction{Value: want, Within: memoryWithin}.agrees(r.Measured.Value), true)
	}
}

// TestBuffersChangedInBetween: what was predicted is not what the sockets get.
func TestBuffersChangedInBetween(t *testing.T) {
	r := run(t, noKernel(), oneLeg(fullBuffers(IPv4), behindItsBack(func(ctx context.Context, b *Bench) error {
		return b.set(ctx, "net.ipv4.tcp_wmem", "4096 65536 65536")
	})))
	equal(t, "verdict", r.Verdict, Refuted)
	equal(t, "predicted", r.Predicted.Value, 2*bufferBytes)
}

// TestIdleMemoryOfHalfAConnection: a prediction that knows of one end only.
func TestIdleMemoryOfHalfAConnection(t *testing.T) {
	r := run(t, noKernel(), oneLeg(idleMemory(IPv4), func(leg *Leg) {
		leg.Predict = func(context.Context, *Bench) (Prediction, error) {
			p, err := predictIdleMemory(IPv4)
			p.Value /= 2
			return p, err
		}
	}))
	if r.Verdict != Refuted && r.Verdict != Skipped { // skipped where /sys/kernel/slab is not to be had
		t.Errorf("half a connection's memory is %s: %s", r.Verdict, r.Reason)
	}
}

func TestIdleRoundIsClear(t *testing.T) {
	equal(t, "both agree", idleRound{grew: 8000, shrank: 7900, alone: true}.clear(), true)
	equal(t, "less came back", idleRound{grew: 8000, shrank: 7000, alone: true}.clear(), false)
	equal(t, "more came back", idleRound{grew: 8000, shrank: 8500, alone: true}.clear(), false)
	equal(t, "others came", idleRound{grew: 8000, shrank: 8000}.clear(), false)
}

// fakeCache is a slab cache as SLUB shows one.
func fakeCache(t *testing.T, attributes ...string) slabCache {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(attributes); i += 2 {
		noError(t, os.WriteFile(filepath.Join(dir, attributes[i]), []byte(attributes[i+1]), 0o600))
	}
	return slabCache{path: dir, perSlab: 13, size: 32768}
}

func TestSlabCache(t *testing.T) {
	c := fakeCache(t, "objects", "159 N0=100 N1=59\n", "reclaim_account", "1\n", "order", "many\n")
	equal(t, "objects", must(c.objects())(t), 159)
	equal(t, "reclaimable", c.reclaimable(), true)
	equal(t, "share", int(c.share()), 2520)
	_, err := c.read("order")
	isError(t, err, `is "many\n"`)
	_, err = c.read("no_such_thing")
	isError(t, err, "no_such_thing")
}

// TestMergedCachesCountOnce: the kernel gives objects that are alike one cache.
func TestMergedCachesCountOnce(t *testing.T) {
	merged := fakeCache(t, "objects", "13\n", "reclaim_account", "0\n")
	inodes := fakeCache(t, "objects", "26\n", "reclaim_account", "1\n")
	objects := []slabObject{{"a", 1, merged}, {"b", 1, merged}, {"inodes", 2, inodes}}
	equal(t, "in use", must(inUse(objects))(t), 3*32768)
	equal(t, "reclaimable", reclaimed(objects), 5041)
	_, err := inUse([]slabObject{{"gone", 1, fakeCache(t)}})
	isError(t, err, "objects")
}

func TestMeminfo(t *testing.T) {
	if total := must(meminfo("MemTotal"))(t); total < 1<<20 {
		t.Errorf("this machine has %d bytes", total)
	}
	_, err := meminfo("MemImaginary")
	isError(t, err, "no MemImaginary")
}
