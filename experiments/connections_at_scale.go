package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "connections-at-scale", Group: Resources, Takes: 4 * time.Second,
		Question: "how many connections does this machine hold at once?",
		Expect:   "the smallest of descriptors, files, memory and ports; with --full a million, where those allow it",
		Limit:    limits.FileDescriptors,
		Hooks:    []string{"state", "connect", "accept", "port_choice", "descriptors"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{manyConnections(1_000_000)}
			}
			return []Leg{manyConnections(6_000), portsSmallest(), descriptorsSmallest()}
		},
	})
}

// A scale is a leg's load: pairs of a client and a server, each with a port of
// its own, so that it is not SO_REUSEPORT that says who gets what. All are on
// loopback, where every address of 127.0.0.0/8 is local: a listener at 0.0.0.0
// is as many destinations as are wanted.
type scale struct {
	wanted    int // connections; 0: until the kernel refuses
	addresses int // destinations of each pair
	noFile    uint64
	end       syscall.Errno // of the smallest limit

	pairs []scalePair
	room  scaleRoom
}

// A scalePair is one client and the server that it connects to.
type scalePair struct {
	client, server *lab.Worker
	to             []netip.AddrPort
}

// manyConnections opens as many as are wanted, or as this machine holds.
func manyConnections(wanted int) Leg {
	s := &scale{wanted: wanted, addresses: 4}
	return Leg{
		Name:    fmt.Sprintf("up to %d", wanted),
		Prepare: s.prepare, Predict: s.predict, Push: s.push,
	}
}

// portsSmallest has few ports: they end before all else does.
func portsSmallest() Leg {
	s := &scale{addresses: 3, end: syscall.EADDRNOTAVAIL}
	return Leg{
		Name: "ports are the smallest", Limit: limits.EphemeralPorts,
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.set(ctx, "net.ipv4.ip_local_port_range", "40000 40099"); err != nil {
				return err
			}
			return s.prepare(ctx, b)
		},
		Predict: s.predict, Push: s.push,
	}
}

// descriptorsSmallest has clients that may open few.
func descriptorsSmallest() Leg {
	s := &scale{addresses: 1, noFile: 200, end: syscall.EMFILE}
	return Leg{
		Name:    "descriptors are the smallest",
		Prepare: s.prepare, Predict: s.predict, Push: s.push,
	}
}

// prepare starts the servers, then the clients, so that those are closed first.
func (s *scale) prepare(ctx context.Context, b *Bench) (err error) {
	if s.room, err = b.readScaleRoom(ctx); err != nil {
		return err
	}
	// A server that waits for a CPU must not refuse meanwhile what it will accept.
	if err := b.set(ctx, "net.core.somaxconn", strconv.Itoa(waitingAtScale)); err != nil {
		return err
	}
	target := min(s.wanted, s.room.files, s.room.memory)
	for room := 0; room < target || len(s.pairs) < runtime.NumCPU(); {
		free, err := s.serve(ctx, b)
		if err != nil {
			return err
		}
		if free < 1 {
			return fmt.Errorf("serve %d connections: a worker may open no more than %d descriptors", target, spareAtScale)
		}
		room += free
	}
	for i := range s.pairs {
		if s.pairs[i].client, err = b.worker(ctx, lab.WorkerOptions{NoFile: s.noFile}); err != nil {
			return err
		}
	}
	return nil
}

// waitingAtScale is more than any client opens.
const waitingAtScale = 1 << 20

// spareAtScale descriptors of each worker stay free, for its own needs.
const spareAtScale = 64

// serve starts one server more, and says how many connections it holds.
func (s *scale) serve(ctx context.Context, b *Bench) (free int, err error) {
	server, err := b.worker(ctx, lab.WorkerOptions{})
	if err != nil {
		return 0, err
	}
	port := firstPort + uint16(len(s.pairs))
	listener, err := server.Listen(ctx, lab.ListenOptions{
		Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Accept: true,
	})
	if err != nil {
		return 0, err
	}
	b.servers = append(b.servers, serving{server, listener})
	pair := scalePair{server: server}
	for n := range s.addresses {
		pair.to = append(pair.to, IPv4.at(n+1, port))
	}
	s.pairs = append(s.pairs, pair)
	d, err := server.FreeDescriptors(ctx)
	return int(d.Free()) - spareAtScale, err
}

// push opens connections from all clients, as many of them at a time as the CPUs
// can serve, and says how long it took.
func (s *scale) push(ctx context.Context, b *Bench) (m Measurement, err error) {
	objects, err := connectionObjects(IPv4)
	if err != nil {
		objects = nil // then how many bytes of slabs they take is not found
	}
	before, err := b.readScale(ctx, objects)
	if err != nil {
		return m, err
	}
	began := time.Now()
	if m, err = s.open(ctx); err != nil {
		return m, err
	}
	accepted, err := b.awaitAccepted(ctx, m.Value)
	if err != nil {
		return m, err
	}
	m.Endpoints += accepted
	t := scaled{n: m.Value, took: time.Since(began)}
	after, err := b.readScale(ctx, objects)
	t.slabs, t.available = after.slabs-before.slabs, before.available-after.available
	m.Findings = s.findings(t)
	return m, err
}

// readScale is the memory now, of slabs in use and of what is available.
func (b *Bench) readScale(ctx context.Context, objects []slabObject) (now scaled, err error) {
	m, err := b.readMemory(ctx, objects)
	if err != nil {
		return now, err
	}
	now.slabs = m.bytes
	now.available, err = meminfo("MemAvailable")
	return now, err
}

// open has every client open its part, and adds up what they were told.
func (s *scale) open(ctx context.Context) (m Measurement, err error) {
	type outcome struct {
		lab.ConnectResult
		error
	}
	outcomes := make(chan outcome)
	turns := make(chan struct{}, max(1, runtime.NumCPU()/2)) // a client keeps one busy, its server another
	for i, p := range s.pairs {
		go func() {
			turns <- struct{}{}
			r, err := p.client.Connect(ctx, lab.ConnectOptions{To: p.to, Count: s.part(i), Timeout: time.Minute})
			<-turns
			outcomes <- outcome{r, err}
		}()
	}
	for range s.pairs {
		o := <-outcomes
		m = m.plus(Measurement{
			Value: o.Opened, Endpoints: o.Opened, Errno: o.Errno, Refusals: o.Attempts - o.Opened,
		})
		if o.error != nil {
			err = o.error
		}
	}
	return m, err
}

// part is how many the i-th client opens.
func (s *scale) part(i int) int {
	if s.wanted == 0 {
		return 1 << 20 // a refusal ends it
	}
	n := s.room.predicted / len(s.pairs)
	if i < s.room.predicted%len(s.pairs) {
		n++
	}
	return n
}
