package experiments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "kernel-memory", Group: Resources, Takes: 5 * time.Second,
		Question: "how much kernel memory does a connection take, idle, and with full buffers?",
		Expect:   "its objects' share of their slabs; with full buffers tcp_wmem and tcp_rmem; pressure above the second of tcp_mem",
		Limit:    limits.TCPMemory,
		Hooks:    []string{"state", "tcp_memory"},
		Legs: func(s Size) []Leg {
			return []Leg{idleMemory(IPv4), idleMemory(IPv6), fullBuffers(IPv4), memoryPressure(IPv4)}
		},
	})
}

const (
	// idleConnections is so many that what the rest of the host does meanwhile
	// hardly counts.
	idleConnections = 3000
	// idleRounds is how often it is tried where it does.
	idleRounds = 3
	// memoryWithin: slabs are not filled to the last object, and the host's other
	// programs have files and names of files, too.
	memoryWithin = 0.1
)

// idleMemory opens connections that carry nothing.
func idleMemory(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    "idle, " + f.String(),
		Prepare: prepareServers(f, 1, at),
		Predict: func(context.Context, *Bench) (Prediction, error) { return predictIdleMemory(f) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			objects, err := connectionObjects(f)
			if err != nil {
				return Measurement{}, err
			}
			return b.pushIdleMemory(ctx, at, objects)
		},
	}
}

func predictIdleMemory(f Family) (Prediction, error) {
	objects, err := connectionObjects(f)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return Prediction{}, skipf("the kernel's slab caches cannot be looked at (%v): root may, where %s is", err, slabCaches)
	}
	p := Prediction{Unit: "bytes a connection", Formula: "Σ objects × their share of a slab, both ends", Within: memoryWithin}
	var sum float64
	for _, o := range objects {
		sum += float64(o.count) * o.cache.share()
		p.Inputs = append(p.Inputs, Input{o.name, []int{o.count, int(math.Round(o.cache.share()))}})
	}
	p.Value = int(math.Round(sum))
	return p, err
}

// pushIdleMemory goes on until a round is clear. Slabs are the whole host's: where
// none is, they say nothing about the lab's connections.
func (b *Bench) pushIdleMemory(ctx context.Context, at netip.AddrPort, objects []slabObject) (m Measurement, err error) {
	for range idleRounds {
		r, one, err := b.idleRound(ctx, at, objects)
		if err != nil {
			return m, err
		}
		if m = m.plus(one); m.Problem != "" {
			return m, nil
		}
		if r.clear() {
			m.Value = int(math.Round((r.grew + r.shrank) / 2))
			m.Findings = []Finding{{"of it counted as free by MemAvailable, as inodes and dentries", reclaimed(objects), "bytes a connection"}}
			return m, nil
		}
	}
	return m, &unsteadyError{fmt.Sprintf("in each of %d rounds other memory of the host came or went meanwhile", idleRounds)}
}

func reclaimed(objects []slabObject) (bytes float64) {
	for _, o := range objects {
		if o.cache.reclaimable() {
			bytes += float64(o.count) * o.cache.share()
		}
	}
	return math.Round(bytes)
}

// idleRound is by how much memory grew as the connections opened, and shrank as
// they closed, of each one.
type idleRound struct {
	grew, shrank float64
	alone        bool // no other socket of the host came or went
}

// clear: nothing else on the host came between.
func (r idleRound) clear() bool { return r.alone && math.Abs(r.grew-r.shrank) < 0.03*r.grew }

// idleRound opens connections and closes them again.
func (b *Bench) idleRound(ctx context.Context, at netip.AddrPort, objects []slabObject) (r idleRound, m Measurement, err error) {
	before, err := b.readMemory(ctx, objects)
	if err != nil {
		return r, m, err
	}
	open, m, err := b.openIdle(ctx, at)
	if err != nil || m.Problem != "" {
		return r, m, err
	}
	during, err := b.readMemory(ctx, objects)
	if err != nil {
		return r, m, err
	}
	if err := b.closeIdle(ctx, open); err != nil {
		return r, m, err
	}
	after, err := b.awaitFreed(ctx, objects, before.bytes)
	n := float64(open.Opened)
	return idleRound{
		grew: float64(during.bytes-before.bytes) / n, shrank: float64(during.bytes-after.bytes) / n,
		alone: math.Abs(float64(during.sockets-before.sockets)-2*n) < 0.01*n,
	}, m, err
}

// memoryNow is what a round compares.
type memoryNow struct {
	bytes   int // of slabs
	sockets int // TCP's, of the whole host
}

func (b *Bench) readMemory(ctx context.Context, objects []slabObject) (now memoryNow, err error) {
	if now.bytes, err = inUse(objects); err != nil {
		return now, err
	}
	counters, err := b.Lab.Counters(ctx)
	now.sockets = int(counters["TCP.alloc"])
	return now, err
}

func (b *Bench) openIdle(ctx context.Context, at netip.AddrPort) (r lab.ConnectResult, m Measurement, err error) {
	count := idleConnections
	for _, w := range b.Workers {
		d, err := w.FreeDescriptors(ctx)
		if err != nil {
			return r, m, err
		}
		count = min(count, int(d.Free())-16)
	}
	r, err = b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: count})
	if err != nil {
		return r, m, err
	}
	accepted, err := b.awaitAccepted(ctx, r.Opened)
	m = Measurement{Endpoints: r.Opened + accepted, Errno: r.Errno, Refusals: r.Attempts - r.Opened}
	if accepted == 0 {
		m.Problem = "no connection came about: " + errnoWord(r.Errno)
	}
	return r, m, err
}

// closeIdle leaves nothing behind, no timewait socket either.
func (b *Bench) closeIdle(ctx context.Context, open lab.ConnectResult) error {
	if _, err := b.Client.CloseSockets(ctx, open.Sockets, lab.CloseReset); err != nil {
		return err
	}
	if _, err := b.Server.CloseAccepted(ctx, b.Listeners[0].Handle, lab.CloseReset); err != nil {
		return err
	}
	_, err := b.awaitClosed(ctx)
	return err
}

// awaitFreed waits until the memory is back, or no more of it comes: inodes and
// dentries are freed after an RCU grace period.
func (b *Bench) awaitFreed(ctx context.Context, objects []slabObject, before int) (now memoryNow, err error) {
	const quiet = 300 * time.Millisecond
	least, since := math.MaxInt, time.Now()
	for time.Since(since) < quiet {
		if now, err = b.readMemory(ctx, objects); err != nil || now.bytes <= before {
			return now, err
		}
		if now.bytes < least-before/1000 {
			least, since = now.bytes, time.Now()
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return now, nil
}
