package text

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unsafe"

	"brink/bpf"
	"brink/collector"
	"brink/collector/limits"
	"brink/collector/portrule"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// booted is the wall clock's time at the records' time zero.
var booted = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var (
	clientEnd = netip.MustParseAddrPort("10.0.0.1:40000")
	serverEnd = netip.MustParseAddrPort("10.0.0.2:80")
	curl      = owner(812, "curl")
)

// TestGolden is the whole of trace's output: as a pipe gets it, and as a
// terminal does.
func TestGolden(t *testing.T) {
	compare(t, "testdata/plain.txt", written(t, false))
	compare(t, "testdata/colour.txt", written(t, true))
}

// Colour adds to the text and changes nothing of it.
func TestColourOnlyAdds(t *testing.T) {
	bare := written(t, true)
	for _, code := range []colour{reset, red, yellow, dim} {
		bare = bytes.ReplaceAll(bare, []byte(code), nil)
	}
	if !bytes.Equal(bare, written(t, false)) {
		t.Errorf("without its colours:\n%s", bare)
	}
	if bytes.Contains(written(t, false), []byte("\x1b")) {
		t.Error("an escape code where no colour is wanted")
	}
}

// Each coloured line ends with its colour: the next one starts plain.
func TestColourEndsWithItsLine(t *testing.T) {
	for line := range strings.Lines(string(written(t, true))) {
		if strings.HasPrefix(line, "\x1b") != strings.HasSuffix(line, string(reset)+"\n") {
			t.Errorf("%q", line)
		}
	}
}

// A task chooses its own name. None may reach the terminal as anything but
// text: no escape code of C0 or C1, no line of its own, no change of direction.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{
		"\x1b[2J\x1b[31mroot", "\x1b]0;title\a", "a\nb\rc\td\be", "\u009b31m\u0085", "\x9b31m", "\x7f\x00\x7f", "a\u202eb\u2066",
	} {
		var b bytes.Buffer
		s := Sink{W: &b}
		s.Accept(&collector.LimitHit{Time: booted, Limit: limits.FileTable, Owner: owner(1, name)})
		s.Accept(&collector.BindConflict{Time: booted, Holders: []collector.Holder{{PID: 1, Name: name, Local: serverEnd}}})
		text := b.String()
		if strings.Count(text, "\n") != 2 {
			t.Errorf("%q makes lines of its own: %q", name, text)
		}
		if i := strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%q gets through: %q", name, text)
		}
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                              "0s",
		999 * time.Nanosecond:          "999ns",
		1234 * time.Nanosecond:         "1.23µs",
		1234567 * time.Nanosecond:      "1.23ms",
		12345678 * time.Microsecond:    "12.35s",
		3*time.Hour + time.Millisecond: "3h0m0s",
	} {
		if got := round(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func written(t *testing.T, colour bool) []byte {
	t.Helper()
	var b bytes.Buffer
	s := Sink{W: &b, Colour: colour}
	s.Header()
	for _, f := range facts(t) {
		s.Accept(f)
	}
	return b.Bytes()
}

// facts are one of each shape that a line can have.
func facts(t *testing.T) []collector.Fact {
	when := booted.Add(1500 * time.Millisecond)
	noPort := netip.AddrPortFrom(clientEnd.Addr(), 0)
	waiting := collector.Holder{
		State: collector.TimeWaitState, TimeWait: true, Local: serverEnd, Peer: clientEnd,
		Unknown: portrule.ReuseAddr | portrule.ReusePort, Rule: portrule.AskerWithoutReuseAddr,
	}
	return []collector.Fact{
		connection(t, true, func(c *collector.Connection) { c.BytesSent, c.BytesReceived = 7, 5 }),
		connection(t, true, func(c *collector.Connection) { c.Errno, c.Retransmits = unix.ECONNRESET, 3 }),
		connection(t, false, func(c *collector.Connection) { c.Errno = unix.ECONNREFUSED }),
		connection(t, true, func(c *collector.Connection) {
			c.Role, c.Owner = collector.RoleServer, collector.Owner{}
			c.Local, c.Peer = netip.MustParseAddrPort("[2001:db8::1]:80"), netip.MustParseAddrPort("[2001:db8::2]:40000")
		}),
		&collector.Connection{End: when, Local: clientEnd, Peer: serverEnd, Preexisting: true},
		&collector.LimitHit{Time: when, Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Used: 200, Max: 200, Count: 1, Local: noPort, Peer: serverEnd, Owner: curl},
		&collector.LimitHit{Time: when, Limit: limits.FileDescriptors, Errno: unix.EMFILE, Max: 1024, Count: 1, Owner: curl},
		&collector.LimitHit{Time: when, Limit: limits.AcceptQueue, Count: 3},
		&collector.BindConflict{Time: when, Errno: unix.EADDRINUSE, Local: serverEnd, Owner: curl, Holders: []collector.Holder{
			{PID: 7, Name: "nginx", State: collector.Listen, Local: serverEnd, Rule: portrule.HolderListens},
			waiting,
		}},
		&collector.BindConflict{Time: when, Errno: unix.EADDRINUSE, Local: serverEnd, Owner: curl, Holders: []collector.Holder{waiting}},
		&collector.BindConflict{Time: when, Errno: unix.EADDRINUSE, Local: serverEnd, Owner: curl, Unnamed: 7, Holders: []collector.Holder{
			{PID: 7, Name: "nginx", State: collector.Listen, Local: serverEnd, Rule: portrule.HolderListens},
			{PID: 8, Name: "nginx", State: collector.Listen, Local: serverEnd, Rule: portrule.HolderListens},
			waiting, waiting,
		}},
		&collector.BindConflict{Time: when, Errno: unix.EADDRINUSE, Local: serverEnd, Owner: curl, Transport: collector.UDP, Holders: []collector.Holder{
			{PID: 7, Name: "dns", Transport: collector.UDP, State: collector.Closed, Local: netip.MustParseAddrPort("[::]:80"), Rule: portrule.DualStack},
		}},
		&collector.BindConflict{Time: when, Errno: unix.EADDRINUSE, Local: netip.MustParseAddrPort("[::]:80"), Owner: curl},
		&collector.TimeWait{Time: when, Event: collector.TimeWaitEnter, State: collector.FinWait2, Local: clientEnd, Peer: serverEnd, Owner: curl},
		&collector.TimeWait{Time: when, Event: collector.TimeWaitOverflow, State: collector.TimeWaitState, Local: clientEnd, Peer: serverEnd},
		&collector.StateChange{Time: when, Old: collector.SynSent, New: collector.Established, Local: clientEnd, Peer: serverEnd, Owner: curl},
	}
}

func owner(pid uint32, name string) (o collector.Owner) {
	o.PID = pid
	copy(o.Comm[:], name)
	return o
}

// connection is a client's; only the table fills in states, so it is made from
// a record.
func connection(t *testing.T, established bool, edit func(*collector.Connection)) *collector.Connection {
	t.Helper()
	r := bpf.BrinkEndpointEnded{Ended: uint64(1009 * time.Millisecond)}
	r.Header.Kind = bpf.BrinkEventKindEVENT_ENDPOINT_ENDED
	r.Endpoint.At[bpf.BrinkStageSTAGE_SYN_SENT] = uint64(time.Second)
	if established {
		r.Endpoint.At[bpf.BrinkStageSTAGE_ESTABLISHED] = uint64(1002345 * time.Microsecond)
	}
	var c collector.Connection
	keep := func(f collector.Fact) { c = *f.(*collector.Connection) }
	if err := collector.NewTable(booted).Apply(bytesOf(&r), keep); err != nil {
		t.Fatal(err)
	}
	c.Role, c.Local, c.Peer, c.Owner = collector.RoleClient, clientEnd, serverEnd, curl
	edit(&c)
	return &c
}

func bytesOf[T any](r *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r))
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}
