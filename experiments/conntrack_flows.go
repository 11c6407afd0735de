package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

func prepareFlows(limit tableLimit) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) (err error) {
		if err := b.prepareTable(ctx, limit); err != nil {
			return err
		}
		b.Client, err = b.worker(ctx, lab.WorkerOptions{})
		return err
	}
}

// flows are numbered: the n-th is from 127.1.0.0 + n, and from one port to one.
type flows struct {
	First, Count int
	Answered     bool // each is replied to before the next
}

// flowsSent is what became of them.
type flowsSent struct {
	Sent, Refused int
	Errno         syscall.Errno // the first refusal's
}

// sendFlows runs in a worker. Two sockets serve for all flows, since the source
// address goes with each datagram (IP_PKTINFO): a descriptor each would be the
// first limit met.
var sendFlows = lab.DefineProgram("send UDP flows", func(f flows) (flowsSent, error) {
	s, err := flowSockets()
	if err != nil {
		return flowsSent{}, fmt.Errorf("make the flows' sockets: %w", err)
	}
	var r flowsSent
	for n := f.First; n < f.First+f.Count; n++ {
		err := s.send(n)
		var errno syscall.Errno
		switch {
		case err == nil:
			r.Sent++
			if f.Answered {
				err = s.answer()
			}
		case errors.As(err, &errno):
			if r.Refused++; r.Errno == 0 {
				r.Errno = errno
			}
			err = nil
		}
		if err != nil {
			return r, fmt.Errorf("flow %d: %w", n, err)
		}
	}
	return r, nil
})

type flowEnds struct{ client, server int }

// flowSockets stay for the worker's life, and with them the ports.
var flowSockets = sync.OnceValues(func() (flowEnds, error) {
	client, err := flowSocket(netip.AddrPortFrom(netip.IPv4Unspecified(), sourcePort))
	if err != nil {
		return flowEnds{}, err
	}
	server, err := flowSocket(IPv4.at(1, firstPort))
	return flowEnds{client, server}, err
})

func flowSocket(at netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fd, err
	}
	// an answer that never comes is an error, not a stop
	patience := unix.NsecToTimeval(int64(settling))
	return fd, errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
}

func (s flowEnds) send(n int) error {
	from := &unix.Inet4Pktinfo{Spec_dst: [4]byte{127, byte(n>>16) + 1, byte(n >> 8), byte(n)}}
	to := &unix.SockaddrInet4{Port: firstPort, Addr: IPv4.address(1).As4()}
	return unix.Sendmsg(s.client, []byte{'?'}, unix.PktInfo4(from), to, 0)
}

// answer has the server reply to the datagram, and the client take it in.
func (s flowEnds) answer() error {
	var b [1]byte
	_, from, err := unix.Recvfrom(s.server, b[:], 0)
	if err != nil {
		return fmt.Errorf("receive at the server: %w", err)
	}
	if err := unix.Sendto(s.server, b[:], 0, from); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	if _, _, err := unix.Recvfrom(s.client, b[:], 0); err != nil {
		return fmt.Errorf("receive the reply: %w", err)
	}
	return nil
}

// assured is how long a flow must have lasted to be (udp_packet: 2 HZ), and some.
const assured = 2200 * time.Millisecond

// assureFlows fills the table with flows, makes them assured, and sends more.
func (b *Bench) assureFlows(ctx context.Context, room int) (m Measurement, err error) {
	began := time.Now()
	first, err := sendFlows.Run(ctx, b.Client, flows{Count: room, Answered: true})
	if err != nil {
		return m, err
	}
	select {
	case <-ctx.Done():
		return m, ctx.Err()
	case <-time.After(time.Until(began.Add(assured))):
	}
	again, err := sendFlows.Run(ctx, b.Client, flows{Count: first.Sent, Answered: true})
	if err != nil {
		return m, err
	}
	beyond, err := sendFlows.Run(ctx, b.Client, flows{First: room, Count: tooMany, Answered: true})
	m = first.measured().plus(beyond.measured())
	if again.Refused > 0 {
		m.Problem = fmt.Sprintf("%d flows were refused that had been let in", again.Refused)
	}
	return m, b.noteTable(ctx, err)
}

func (s flowsSent) measured() Measurement {
	return Measurement{Value: s.Sent, Refusals: s.Refused, Errno: s.Errno}
}

// evictFlows fills the table with flows that nobody answers, and sends more. The
// kernel's own garbage collector, which runs now and then, may make room as well
// (gc_worker, above 95 % of the maximum): then that is done again.
func (b *Bench) evictFlows(ctx context.Context) (m Measurement, err error) {
	next := 0
	for range 3 {
		if err := b.fillUp(ctx, &next); err != nil {
			return m, err
		}
		before := b.Notes["early_drop"]
		beyond, err := sendFlows.Run(ctx, b.Client, flows{First: next, Count: evictionAttempts})
		if err := b.noteTable(ctx, err); err != nil {
			return m, err
		}
		next += evictionAttempts
		m.Value, m.Errno, m.Refusals = beyond.Sent, beyond.Errno, m.Refusals+beyond.Refused
		evicted, room := b.Notes["early_drop"]-before, b.Notes["max"]-b.Notes["count"]
		if beyond.Sent+room == evicted {
			m.Problem = ""
			return m, b.fillUp(ctx, &next) // still full when the counters are looked at
		}
		m.Problem = fmt.Sprintf("%d flows were let in, %d entries evicted, and there is room for %d", beyond.Sent, evicted, room)
	}
	return m, nil
}

// fillUp sends flows, from the next number on, until the table is full.
func (b *Bench) fillUp(ctx context.Context, next *int) error {
	if err := b.noteTable(ctx, nil); err != nil {
		return err
	}
	room := b.Notes["max"] - b.Notes["count"]
	filled, err := sendFlows.Run(ctx, b.Client, flows{First: *next, Count: room})
	if err == nil && filled.Refused > 0 {
		err = fmt.Errorf("%d of %d flows were refused although there was room", filled.Refused, room)
	}
	*next += room
	return b.noteTable(ctx, err)
}
