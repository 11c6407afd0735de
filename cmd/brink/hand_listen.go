package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"brink/collector"
	"brink/collector/limits"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func listenCommand() *cli.Command {
	return &cli.Command{
		Name:      "listen",
		Usage:     "accept connections by hand and echo what they say: the other end of brink connect",
		ArgsUsage: "ADDRESS:PORT",
		Description: "Accepts any number of connections, shows both addresses of each and every message (a line\n" +
			"is one), and sends back what came. No socket option is set unless its flag is given, so that\n" +
			"bind conflicts show as they are. ctrl-C ends it with a summary.\n\n" +
			"   brink listen :8080                     every address of this host, IPv4 and IPv6\n" +
			"   brink listen 192.0.2.7:0 --backlog 1   a port that the kernel chooses; a queue soon full\n\n" +
			"IPv6 is written [2001:db8::7]:80. On the other host: brink connect ADDRESS:PORT.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "reuseaddr", Usage: "SO_REUSEADDR: bind although the port has connections, or sockets in TIME_WAIT"},
			&cli.BoolFlag{Name: "reuseport", Usage: "SO_REUSEPORT: share the port with listeners that set it, too"},
			&cli.IntFlag{Name: "backlog", Usage: "how many finished handshakes may wait, less one: `N` of listen(2)", DefaultText: "net.core.somaxconn", Value: handMostBacklog},
			&cli.BoolFlag{Name: "v6only", Usage: "IPV6_V6ONLY: an IPv6 listener leaves IPv4 alone"},
			jsonFlag(),
		},
		Action: handListen,
	}
}

// handMostBacklog is cut down to net.core.somaxconn by the kernel, which
// compares without a sign.
const handMostBacklog = -1

func handListen(c *cli.Context) error {
	l, place, err := handListenOptions(c)
	if err != nil {
		return err
	}
	at, err := l.resolve(c.Context, place)
	if err != nil {
		return err
	}
	out := newOutput(os.Stdout)
	defer out.stop()
	l.teller = handTeller{w: out, json: c.Bool("json")}
	listener, refused := l.open(at, place.host == "")
	if refused != nil {
		refused.tell(l.teller)
		return refused
	}
	l.serve(c.Context, listener)
	l.summarize()
	return nil
}

// handListener is the echo server. The counts are those of all connections.
type handListener struct {
	options []handOption
	v6only  bool
	backlog int
	teller  handTeller

	connections     int
	messages, bytes atomic.Int64
}

func handListenOptions(c *cli.Context) (*handListener, handPlace, error) {
	if c.NArg() != 1 {
		return nil, handPlace{}, usagef("listen takes one ADDRESS:PORT, such as :8080 or [::1]:80, not %d arguments", c.NArg())
	}
	place, err := handParsePlace(c.Args().First())
	if err != nil {
		return nil, place, err
	}
	l := &handListener{v6only: c.Bool("v6only"), backlog: c.Int("backlog")}
	if c.IsSet("backlog") && l.backlog < 0 {
		return nil, place, usagef("--backlog %d: a queue holds 0 or more (0 is room for one)", l.backlog)
	}
	if a, err := netip.ParseAddr(place.host); err == nil && a.Unmap().Is4() && l.v6only {
		return nil, place, usagef("--v6only is for an IPv6 address, and %s is none: leave it out, or listen on [::]:%d", place.host, place.port)
	}
	if c.Bool("reuseaddr") {
		l.options = append(l.options, handReuseAddr())
	}
	if c.Bool("reuseport") {
		l.options = append(l.options, handReusePort())
	}
	return l, place, nil
}

func (l *handListener) resolve(ctx context.Context, place handPlace) (netip.AddrPort, error) {
	switch {
	case place.host == "":
		return handWildcard(unix.AF_INET6, place.port), nil
	case l.v6only:
		return place.resolve(ctx, unix.AF_INET6)
	}
	return place.resolve(ctx, unix.AF_UNSPEC)
}

// open binds and listens. The wildcard of both families is IPv4's alone where
// the kernel has no IPv6.
func (l *handListener) open(at netip.AddrPort, anyFamily bool) (net.Listener, *handRefusal) {
	options := l.options
	if at.Addr().Is6() {
		options = append(options, handV6Only(l.v6only))
	}
	fd, refused := handSocket(handFamily(at.Addr()), options)
	if refused != nil && refused.errno == unix.EAFNOSUPPORT && anyFamily && !l.v6only {
		return l.open(handWildcard(unix.AF_INET, at.Port()), false)
	}
	if refused != nil {
		return nil, refused
	}
	if err := unix.Bind(fd, handSockaddr(at)); err != nil {
		unix.Close(fd)
		return nil, handBindRefused("bind", err, at)
	}
	if err := unix.Listen(fd, l.backlog); err != nil {
		unix.Close(fd)
		return nil, handBindRefused("listen", err, at)
	}
	l.tellListening(handLocal(fd))
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close() // FileListener has a descriptor of its own
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, handRefused("dup", err)
	}
	return listener, nil
}

func (l *handListener) tellListening(at netip.AddrPort) {
	families := ""
	if at.Addr().Is6() && at.Addr().IsUnspecified() && !l.v6only {
		families = " (IPv4 and IPv6)"
	}
	l.teller.tell("listening", fmt.Sprintf("listening on %s%s; ctrl-C ends", at, families), func(v collector.Visitor) {
		handVisitEnds(v, at, netip.AddrPort{})
	})
}

// serve accepts until ctx is done, and leaves when the last connection is told of.
func (l *handListener) serve(ctx context.Context, listener net.Listener) {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case err != nil:
			l.pause(ctx, err)
		default:
			l.connections++
			ends := handEnds{l.connections, handUnmap(conn.LocalAddr()), handUnmap(conn.RemoteAddr())}
			connections.Go(func() { l.echo(ctx, conn, ends) })
		}
	}
}

// pause tells of an accept that failed. The connection stays in the queue, so
// that without a rest the loop would spin on it.
func (l *handListener) pause(ctx context.Context, err error) {
	refused := handRefused("accept", err)
	if refused.limit != limits.None {
		refused.ask = "pid:" + strconv.Itoa(os.Getpid())
	}
	refused.tell(l.teller)
	fmt.Fprintf(os.Stderr, "brink: %v\n", refused)
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

// handUnmap is an address without the ::ffff: that a dual-stack socket shows.
func handUnmap(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func (l *handListener) echo(ctx context.Context, conn net.Conn, ends handEnds) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	ends.tell(l.teller, "accepted", ends.words(), nil)
	var messages, bytes int64
	message := func(s string) {
		messages++
		ends.tell(l.teller, "message", handPrintable(s), func(v collector.Visitor) { v.String("message", handPrintable(s)) })
	}
	var lines handLines
	var err error
	for b := make([]byte, 16<<10); err == nil; {
		var n int
		n, err = conn.Read(b)
		bytes += int64(n)
		lines.cut(b[:n], message)
		if n > 0 && err == nil {
			_, err = conn.Write(b[:n])
		}
	}
	if len(lines.rest) > 0 {
		lines.flush(message)
	}
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		err = nil // by ctrl-C
	}
	l.messages.Add(messages)
	l.bytes.Add(bytes)
	words, errno := handEnding(err)
	ends.tell(l.teller, "closed", fmt.Sprintf("%s, after %s and %s", words, handCount(messages, "message"), handCount(bytes, "byte")), func(v collector.Visitor) {
		handVisitClosed(v, words, errno)
		handVisitCounts(v, messages, bytes)
	})
}

func handVisitClosed(v collector.Visitor, words string, errno unix.Errno) {
	v.String("reason", words)
	if errno != 0 {
		v.String(collector.KeyErrno, unix.ErrnoName(errno))
		v.String(collector.KeyErrorType, collector.ErrorType(errno))
	}
}

func handVisitCounts(v collector.Visitor, messages, bytes int64) {
	v.Int("messages", messages)
	v.Int("bytes", bytes)
}

func (l *handListener) summarize() {
	messages, bytes := l.messages.Load(), l.bytes.Load()
	l.teller.tell("summary", fmt.Sprintf("\n%s, %s, %s", handCount(l.connections, "connection"), handCount(messages, "message"), handCount(bytes, "byte")), func(v collector.Visitor) {
		v.Int("connections", int64(l.connections))
		handVisitCounts(v, messages, bytes)
	})
}
