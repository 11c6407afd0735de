package portrule

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelAgreesOnPairs makes every pair of sockets there is, one that holds a
// port and one that asks for it, and compares the kernel's answer with the
// rule's: addresses × options × states × users × protocols. Each pair has a port
// of its own, so that the kernel's table remembers of no other.
func TestKernelAgreesOnPairs(t *testing.T) {
	inPrivateNetns(t, func(k *kernel) {
		asked := map[Rule]int{}
		for _, held := range holderCases() {
			for _, ask := range askCases(held.socket.Transport) {
				k.comparePair(held, ask, asked)
			}
		}
		t.Logf("pairs by the rule that refused: %v", asked)
		for _, r := range []Rule{NoRule, DualStack, OtherUser, HolderListens, AskerWithoutReuseAddr, HolderWithoutReuseAddr} {
			if asked[r] == 0 {
				t.Errorf("no pair was refused by %q", r)
			}
		}
	})
}

func (k *kernel) comparePair(held holderCase, ask Socket, asked map[Rule]int) {
	defer k.closeAll()
	holder, ok := k.hold(held)
	if !ok {
		return // such a socket cannot be
	}
	ask.Local = netip.AddrPortFrom(ask.Local.Addr(), holder.Local.Port())
	fd := k.open(ask)
	for _, state := range askStates(ask.Transport) {
		ask.State = state
		refused := k.asks(fd, ask)
		verdict := Judge(ask, holder)
		asked[verdict.Rule]++
		if refused != verdict.Refuses {
			k.t.Errorf("%s\n  asks where %s is: refused %t, the rule says %+v", describe(ask), describe(holder), refused, verdict)
		}
		k.compareRemedies(ask, holder, verdict)
		if p := Predict(ask, holder); p.Refused != refused {
			k.t.Errorf("%s\n  asks where %s is: refused %t, predicted %+v", describe(ask), describe(holder), refused, p)
		}
		if refused {
			return
		}
	}
}

// compareRemedies: whatever is refused could have been allowed, and what is not
// known of the holder never makes the rule say what is wrong.
func (k *kernel) compareRemedies(ask, holder Socket, verdict Verdict) {
	if verdict.Refuses && len(Remedies(ask, holder)) == 0 {
		k.t.Errorf("%s: no remedy against %s", describe(ask), describe(holder))
	}
	for unknown := range Unknown(8) {
		less := holder
		less.Unknown = unknown
		less.ReuseAddr = less.ReuseAddr && unknown&ReuseAddr == 0
		less.ReusePort = less.ReusePort && unknown&ReusePort == 0
		less.V6Only = less.V6Only && unknown&V6Only == 0
		got := Judge(ask, less)
		if got.Refuses != verdict.Refuses && got.Rule != UnknownRule || got.Rule != verdict.Rule && got.Rule != UnknownRule {
			k.t.Errorf("%s: with %03b unknown of %s the rule says %+v, else %+v", describe(ask), unknown, describe(holder), got, verdict)
		}
	}
}

// TestKernelAgreesOnSequences lets up to five sockets ask for one port, one
// after another: only then does it matter what the table of ports remembers
// (TCP), and which socket is the youngest (UDP).
func TestKernelAgreesOnSequences(t *testing.T) {
	inPrivateNetns(t, func(k *kernel) {
		r := rand.New(rand.NewPCG(1, 2)) // the same sequences each time
		buckets, passed := 0, 0
		for range 10000 {
			b, p := k.compareSequence(r, Transport(r.IntN(2)))
			buckets, passed = buckets+b, passed+p
		}
		t.Logf("let in by the bucket against the holders: %d; passed over a UDP holder: %d", buckets, passed)
		if buckets == 0 || passed == 0 {
			t.Error("the sequences did not get to what they are for")
		}
	})
}

func (k *kernel) compareSequence(r *rand.Rand, transport Transport) (buckets, passed int) {
	defer k.closeAll()
	var holders []Socket
	port := k.nextPort()
	if r.IntN(4) == 0 {
		first := k.randomHolder(r, transport)
		port, holders = first.Local.Port(), append(holders, first)
	}
	for range 2 + r.IntN(4) {
		asks := askCases(transport)
		ask := asks[r.IntN(len(asks))]
		ask.UID = uint32(1000 * r.IntN(2))
		ask.Local = netip.AddrPortFrom(ask.Local.Addr(), port)
		fd := k.open(ask)
		states := askStates(transport)
		for _, ask.State = range states[:1+r.IntN(len(states))] {
			if ask.State == Listening {
				ask, holders = holders[len(holders)-1], holders[:len(holders)-1]
				ask.State = Listening
			}
			p, refused := Predict(ask, holders...), k.asks(fd, ask)
			if p.Refused != refused {
				k.t.Errorf("%s\n  asks after %s:\n  refused %t, predicted %+v", describe(ask), describe(holders...), refused, p)
			}
			if refused && ask.State == Listening { // bound it stays
				ask.State = Bound
				holders = append(holders, ask)
			}
			if refused {
				break
			}
			if p.Bucket {
				buckets++
			}
			if transport == UDP && slices.ContainsFunc(holders, func(h Socket) bool { return Judge(ask, h).Refuses }) {
				passed++
			}
			ask = k.seen(fd, ask)
			holders = append(holders, ask)
		}
	}
	return buckets, passed
}

// randomHolder is a connection whose port connect() chose.
func (k *kernel) randomHolder(r *rand.Rand, transport Transport) Socket {
	all := holderCases()
	for {
		c := all[r.IntN(len(all))]
		if c.how != autobound || c.socket.Transport != transport {
			continue
		}
		if s, ok := k.hold(c); ok {
			return s
		}
	}
}

// TestKernelAgreesOnDevices: sockets bound to different devices do not meet.
func TestKernelAgreesOnDevices(t *testing.T) {
	inPrivateNetns(t, func(k *kernel) {
		devices := []uint32{0, k.device("lo"), k.device(secondDevice)}
		for _, held := range []uint32{0, devices[1], devices[2]} {
			for _, asked := range devices {
				for _, transport := range []Transport{TCP, UDP} {
					ask, holder := Socket{Transport: transport}, Socket{Transport: transport}
					ask.Device, holder.Device = asked, held
					holder.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
					ask.Local = holder.Local
					k.comparePair(holderCase{socket: holder}, ask, map[Rule]int{})
				}
			}
		}
	})
}

func describe(sockets ...Socket) (s string) {
	for _, x := range sockets {
		state := [...]string{"bound", "listening", "connected", "timewait"}[x.State]
		s += fmt.Sprintf("[%s %s %s uid %d reuseaddr %t reuseport %t v6only %t device %d origin %d]",
			x.Transport, x.Local, state, x.UID, x.ReuseAddr, x.ReusePort, x.V6Only, x.Device, x.Origin)
	}
	return s
}

// asks is the system call; bind() comes before listen().
func (k *kernel) asks(fd int, ask Socket) (refused bool) {
	var err error
	if ask.State == Listening {
		err = unix.Listen(fd, 8)
	} else {
		err = unix.Bind(fd, sockaddr(ask.Local))
	}
	if err != nil && err != unix.EADDRINUSE {
		k.t.Fatalf("%s: %v", describe(ask), err)
	}
	return err != nil
}
