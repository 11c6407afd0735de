package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sync/errgroup"
)

// Bench is a leg's lab with what the leg has put on it.
type Bench struct {
	Lab  *lab.Lab
	Size Size

	Workers   []*lab.Worker
	Server    *lab.Worker
	Client    *lab.Worker
	Listeners []lab.Socket
	servers   []serving // where one process cannot hold all connections

	labs []*lab.Lab // beside the first
	join func(context.Context, *lab.Lab) error
	mode func(hooks ...string) string // the rung that evidence rests on; nil in tests

	// Notes carry a leg's own findings from Push to Inspect.
	Notes map[string]int
}

// Family is what a leg speaks.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// address is the n-th of the lab's addresses, from 1: 127.0.0.n, which loopback
// has by itself, or fd00::n, which must be added.
func (f Family) address(n int) netip.Addr {
	if f == IPv6 {
		return netip.MustParseAddr(fmt.Sprintf("fd00::%x", n))
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(n)})
}

func (f Family) at(n int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(f.address(n), port)
}

// String is "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// addAddresses gives the lab the addresses 1 to n of a family.
func (b *Bench) addAddresses(ctx context.Context, f Family, n int) error {
	for i := 1; f == IPv6 && i <= n; i++ {
		if err := b.Lab.AddAddress(ctx, netip.PrefixFrom(f.address(i), 128)); err != nil {
			return err
		}
	}
	return nil
}

// another makes a further lab, to be linked with the first one: another host. It
// counts to the same leg, and goes with it.
func (b *Bench) another(ctx context.Context) (*lab.Lab, error) {
	l, err := lab.New(ctx, lab.Options{Beside: b.Lab})
	if err != nil {
		return nil, err
	}
	b.labs = append(b.labs, l)
	return l, b.join(ctx, l)
}

func (b *Bench) closeLabs() (err error) {
	for _, l := range b.labs {
		err = errors.Join(err, l.Close())
	}
	return err
}

// workerIn starts a worker in one of the labs and notes it.
func (b *Bench) workerIn(ctx context.Context, l *lab.Lab, o lab.WorkerOptions) (*lab.Worker, error) {
	w, err := l.Worker(ctx, o)
	if err == nil {
		b.Workers = append(b.Workers, w)
	}
	return w, err
}

// worker starts a worker in the first lab and notes it.
func (b *Bench) worker(ctx context.Context, o lab.WorkerOptions) (*lab.Worker, error) {
	return b.workerIn(ctx, b.Lab, o)
}

// pair starts one server and one client.
func (b *Bench) pair(ctx context.Context) (err error) {
	if b.Server, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
		return err
	}
	b.Client, err = b.worker(ctx, lab.WorkerOptions{})
	return err
}

// listen adds a listener to the server that accepts everything and greets.
func (b *Bench) listen(ctx context.Context, at ...netip.AddrPort) error {
	for _, addr := range at {
		s, err := b.Server.Listen(ctx, lab.ListenOptions{
			Addr: addr, Accept: true, Greet: true, SocketOptions: lab.SocketOptions{ReuseAddr: true},
		})
		if err != nil {
			return err
		}
		b.Listeners = append(b.Listeners, s)
	}
	return nil
}

// accepted is how many connections all listeners hold.
func (b *Bench) accepted(ctx context.Context) (open int, err error) {
	for _, l := range b.Listeners {
		a, err := b.Server.Accepted(ctx, l.Handle, false)
		if err != nil {
			return 0, err
		}
		open += a.Open
	}
	for _, s := range b.servers {
		a, err := s.worker.Accepted(ctx, s.listener.Handle, false)
		if err != nil {
			return 0, err
		}
		open += a.Open
	}
	return open, nil
}

// closeAll resets what is still open: the clients first, so that the servers'
// ends go with them and nothing lingers. Where many share the connections, those
// of one side close side by side.
func (b *Bench) closeAll(ctx context.Context) error {
	for _, workers := range b.sides() {
		if err := closeWorkers(ctx, workers); err != nil {
			return err
		}
	}
	return b.awaitQuiet(ctx)
}

// sides are the workers, the last one first: one by one, or by side where a leg
// has many servers.
func (b *Bench) sides() (sides [][]*lab.Worker) {
	var clients, servers []*lab.Worker
	for _, w := range slices.Backward(b.Workers) {
		switch {
		case len(b.servers) == 0:
			sides = append(sides, []*lab.Worker{w})
		case slices.ContainsFunc(b.servers, func(s serving) bool { return s.worker == w }):
			servers = append(servers, w)
		default:
			clients = append(clients, w)
		}
	}
	return append(sides, clients, servers)
}

// closeWorkers closes as many at a time as there are CPUs.
func closeWorkers(ctx context.Context, workers []*lab.Worker) error {
	var closing errgroup.Group
	closing.SetLimit(runtime.NumCPU())
	for _, w := range workers {
		closing.Go(func() error {
			_, err := w.CloseAll(ctx, lab.CloseReset)
			return err
		})
	}
	return closing.Wait()
}

// awaitQuiet waits until the lab has no TCP socket any more, timewait sockets
// aside: the last segments may still be under way when close() returns, and an
// endpoint's record leaves at its very end.
func (b *Bench) awaitQuiet(ctx context.Context) error {
	quiet := false
	err := b.await(ctx, func() (bool, error) {
		for _, l := range append([]*lab.Lab{b.Lab}, b.labs...) {
			counters, err := l.Counters(ctx)
			quiet = counters["TCP.inuse"]+counters["TCP6.inuse"] == 0
			if err != nil || !quiet {
				return false, err
			}
		}
		return true, nil
	})
	if err == nil && !quiet {
		return errors.New("TCP sockets of the lab stay although every one was closed")
	}
	return err
}

// await looks again and again until it is so, or for some seconds: what is then
// not so is for the caller to find.
func (b *Bench) await(ctx context.Context, so func() (bool, error)) error {
	for end := time.Now().Add(settling); ; {
		done, err := so()
		if done || err != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settling is how long the last segments of a push may take.
const settling = 10 * time.Second

func (b *Bench) note(name string, value int) {
	if b.Notes == nil {
		b.Notes = map[string]int{}
	}
	b.Notes[name] = value
}

// set writes sysctls of the lab, in order: name, value, name, value, …
func (b *Bench) set(ctx context.Context, settings ...string) error {
	for i := 0; i+1 < len(settings); i += 2 {
		if err := b.Lab.SetSysctl(ctx, settings[i], settings[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// number reads a sysctl that holds one number.
func (b *Bench) number(ctx context.Context, name string) (int, error) {
	value, err := b.Lab.Sysctl(ctx, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		return 0, fmt.Errorf("%s is %q, not a number", name, value)
	}
	return n, nil
}
