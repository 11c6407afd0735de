package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// handTeller tells what happens, a line each, in words or as JSON.
type handTeller struct {
	w    io.Writer
	json bool
}

func (t handTeller) tell(kind, words string, visit func(collector.Visitor)) {
	if !t.json {
		io.WriteString(t.w, words+"\n")
		return
	}
	t.w.Write(jsonl.Marshal(kind, func(v collector.Visitor) {
		v.Time("time", time.Now())
		visit(v)
	}))
}

// handEnds is a connection as both commands tell of it.
type handEnds struct {
	number      int
	local, peer netip.AddrPort
}

func (e handEnds) tell(t handTeller, kind, words string, more func(collector.Visitor)) {
	t.tell(kind, fmt.Sprintf("#%-4d %-9s %s", e.number, kind, words), func(v collector.Visitor) {
		v.Int("connection", int64(e.number))
		handVisitEnds(v, e.local, e.peer)
		if more != nil {
			more(v)
		}
	})
}

func (e handEnds) words() string { return fmt.Sprintf("local %s  peer %s", e.local, e.peer) }

func handVisitEnds(v collector.Visitor, local, peer netip.AddrPort) {
	if !local.IsValid() && !peer.IsValid() {
		return
	}
	family := "ipv6"
	if local.Addr().Is4() || peer.Addr().Is4() {
		family = "ipv4"
	}
	v.String(collector.KeyTransport, collector.TCP.String())
	v.String(collector.KeyType, family)
	handVisitEnd(v, collector.KeyLocalAddress, collector.KeyLocalPort, local)
	handVisitEnd(v, collector.KeyPeerAddress, collector.KeyPeerPort, peer)
}

func handVisitEnd(v collector.Visitor, address, port string, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	v.String(address, a.Addr().String())
	if a.Port() != 0 {
		v.Uint(port, uint64(a.Port()))
	}
}

// handLines cuts what arrives into messages, one a line. A line that does not
// end is a message of its own once it is this long.
type handLines struct{ rest []byte }

const handLongest = 64 << 10

func (l *handLines) cut(b []byte, message func(string)) {
	for _, c := range b {
		if c == '\n' {
			l.flush(message)
			continue
		}
		if len(l.rest) == handLongest {
			l.flush(message)
		}
		l.rest = append(l.rest, c)
	}
}

func (l *handLines) flush(message func(string)) {
	message(strings.TrimSuffix(string(l.rest), "\r"))
	l.rest = l.rest[:0]
}

// handPrintable keeps what a stranger sends from steering the terminal.
func handPrintable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// handRefusal is a call that the kernel, or the other end, said no to.
type handRefusal struct {
	call        string
	errno       unix.Errno
	limit       limits.Limit
	local, peer netip.AddrPort
	since       string // the kernel that brought the socket option
	ask         string // what to ask `brink why` for
}

func handRefused(call string, err error) *handRefusal {
	r := &handRefusal{call: call}
	errors.As(err, &r.errno)
	switch r.errno {
	case unix.EMFILE:
		r.limit = limits.FileDescriptors
	case unix.ENFILE:
		r.limit = limits.FileTable
	}
	return r
}

// handBindRefused is of bind(2), and of listen(2), which asks for the port anew.
func handBindRefused(call string, err error, local netip.AddrPort) *handRefusal {
	r := handRefused(call, err)
	r.local = local
	switch {
	case r.errno != unix.EADDRINUSE:
	case local.Port() == 0:
		r.limit = limits.EphemeralPorts
	default:
		r.limit, r.ask = limits.BindConflict, "port:"+strconv.Itoa(int(local.Port()))
	}
	return r
}

// handConnectRefused is of connect(2) on a socket that was local before it.
func handConnectRefused(err error, local, peer netip.AddrPort) *handRefusal {
	r := handRefused("connect", err)
	r.local, r.peer = local, peer
	switch {
	case r.errno != unix.EADDRNOTAVAIL:
	case local.Port() == 0:
		r.limit = limits.EphemeralPorts
	default:
		r.limit = limits.FourTuple
	}
	return r
}

// handHints say of an errno without a limit what it means.
var handHints = map[string]string{
	"bind EADDRNOTAVAIL":   "the address is none of this host's (ip address shows them)",
	"bind EACCES":          "ports below net.ipv4.ip_unprivileged_port_start are root's",
	"connect ECONNREFUSED": "nobody listens there, or a firewall rejects",
	"connect ETIMEDOUT":    "no answer came in time: a firewall, a dead host, or a full accept queue drops in silence",
	"connect ENETUNREACH":  "there is no route to it (ip route get shows it)",
	"connect EHOSTUNREACH": "its host does not answer, or a firewall rejects",
	"socket EAFNOSUPPORT":  "this kernel has no such address family",
	"connect EPERM":        "a local firewall rejects it",
}

// Error is one sentence: the call, the errno, what it means, what to do.
func (r *handRefusal) Error() string {
	name := unix.ErrnoName(r.errno)
	s := r.call + r.place() + ": " + name
	hint, hinted := handHints[r.call+" "+name]
	switch entry := r.limit.Entry(); {
	case r.limit != limits.None:
		s += ", the limit " + entry.Name + ": " + entry.Meaning + "; what helps: " + entry.Advice
	case r.errno == unix.ENOPROTOOPT && r.since != "":
		return s + ": this kernel lacks the option, which came with Linux " + r.since + ": leave its flag out"
	case hinted:
		s += ": " + hint
	default:
		s += ": " + r.errno.Error()
	}
	if r.ask != "" {
		s += "; brink why " + r.ask + " tells more"
	}
	return s
}

func (r *handRefusal) place() (s string) {
	switch {
	case r.peer.IsValid():
		s = " to " + r.peer.String()
		if r.local.IsValid() && r.local.Port() != 0 {
			s += " from " + r.local.String()
		}
	case r.local.IsValid():
		s = " to " + r.local.String()
	}
	return s
}

func (r *handRefusal) tell(t handTeller) {
	if !t.json {
		return // main says it on standard error
	}
	t.tell("refused", "", func(v collector.Visitor) {
		v.String("call", r.call)
		v.String(collector.KeyErrno, unix.ErrnoName(r.errno))
		v.String(collector.KeyErrorType, collector.ErrorType(r.errno))
		if r.limit != limits.None {
			v.String(collector.KeyLimit, r.limit.String())
			v.String(collector.KeyLimitKnob, r.limit.Entry().Knob)
		}
		handVisitEnds(v, r.local, r.peer)
		v.String("reason", r.Error())
	})
}

// handEnding says why a connection is over, and its errno where it has one.
func handEnding(err error) (words string, errno unix.Errno) {
	switch {
	case err == nil:
		return "as asked", 0
	case errors.Is(err, io.EOF):
		return "by the peer", 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "for want of an answer", unix.ETIMEDOUT
	case errors.As(err, &errno):
		return fmt.Sprintf("by %s (%s)", unix.ErrnoName(errno), errno.Error()), errno
	}
	return err.Error(), 0
}

// handCount is a number with its noun.
func handCount[N int | int64](n N, noun string) string {
	switch {
	case n == 1:
	case noun == "echo":
		noun = "echoes"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// handRTTs are round-trip times, summed up.
type handRTTs struct {
	n                int64
	least, sum, most time.Duration
}

func (r *handRTTs) add(d time.Duration) { r.merge(handRTTs{1, d, d, d}) }

func (r *handRTTs) merge(o handRTTs) {
	switch {
	case o.n == 0:
	case r.n == 0:
		*r = o
	default:
		r.n, r.sum = r.n+o.n, r.sum+o.sum
		r.least, r.most = min(r.least, o.least), max(r.most, o.most)
	}
}

func (r *handRTTs) mean() time.Duration { return r.sum / time.Duration(r.n) }

func (r *handRTTs) visit(v collector.Visitor) {
	if r.n == 0 {
		return
	}
	v.Int("rtt_ns.least", int64(r.least))
	v.Int("rtt_ns.mean", int64(r.mean()))
	v.Int("rtt_ns.most", int64(r.most))
}
