package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"brink/collector"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func connectCommand() *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "open connections by hand and send a heartbeat on each: the other end of brink listen",
		ArgsUsage: "ADDRESS:PORT",
		Description: "Opens the connections one after the other, shows both addresses of each, and then sends a\n" +
			"line on every one of them at each interval; the echo is shown with its round-trip time. The\n" +
			"first connection that is refused ends it: with the call, the errno, the limit that it means\n" +
			"and what would help. No socket option is set unless its flag is given.\n\n" +
			"   brink connect 192.0.2.7:8080 --count 5 --local-port-range 40000-40003\n" +
			"                                      the fifth finds no port: ephemeral_ports\n" +
			"   brink connect 192.0.2.7:8080 --bind :5000 --reuseaddr\n" +
			"                                      one source port, for as many destinations as you like\n\n" +
			"The exit status is 0 when it ended as asked, by --messages or by ctrl-C; 1 when a connection\n" +
			"was refused or lost.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "count", Value: 1, Usage: "open `N` connections"},
			&cli.StringFlag{Name: "bind", Usage: "bind(2) each to `ADDRESS:PORT` first; port 0 lets the kernel choose"},
			&cli.BoolFlag{Name: "reuseaddr", Usage: "SO_REUSEADDR: bind although others that set it have the port"},
			&cli.BoolFlag{Name: "reuseport", Usage: "SO_REUSEPORT: the same, among one user's sockets that set it"},
			&cli.BoolFlag{Name: "bind-address-no-port", Usage: "IP_BIND_ADDRESS_NO_PORT: --bind ADDRESS:0 leaves the port to connect(2)"},
			&cli.StringFlag{Name: "local-port-range", Usage: "IP_LOCAL_PORT_RANGE (Linux 6.3): choose ports from `LOW-HIGH`, inside net.ipv4.ip_local_port_range"},
			&cli.StringFlag{Name: "message", Value: "heartbeat", Usage: "the `TEXT` to send, one line"},
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "the `TIME` from one heartbeat to the next"},
			&cli.IntFlag{Name: "messages", Usage: "end after `N` messages on each connection; 0 is ctrl-C alone"},
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "the `TIME` to wait for a handshake, and for the last echo"},
			jsonFlag(),
		},
		Action: handConnect,
	}
}

func handConnect(c *cli.Context) error {
	h, to, bind, err := handConnectOptions(c)
	if err != nil {
		return err
	}
	if err := h.resolve(c.Context, to, bind); err != nil {
		return err
	}
	out := newOutput(os.Stdout)
	defer out.stop()
	h.teller = handTeller{w: out, json: c.Bool("json")}
	defer h.summarize()
	if err := h.open(c.Context); err != nil {
		h.closeAll()
		return err
	}
	return h.beat(c.Context)
}

// handClient is the heartbeat client.
type handClient struct {
	to, from netip.AddrPort // from is invalid without --bind
	options  []handOption
	count    int
	message  string
	interval time.Duration
	messages int // on each connection; 0 is no end
	timeout  time.Duration
	teller   handTeller

	low, high uint16 // of --local-port-range, else 0
	warned    bool

	connections []*handConnection
	lost        atomic.Int64
}

func handConnectOptions(c *cli.Context) (h *handClient, to, bind handPlace, err error) {
	if c.NArg() != 1 {
		return nil, to, bind, usagef("connect takes one ADDRESS:PORT, such as 192.0.2.7:80 or [::1]:80, not %d arguments", c.NArg())
	}
	if to, err = handParsePlace(c.Args().First()); err != nil {
		return nil, to, bind, err
	}
	if to.host == "" || to.port == 0 {
		return nil, to, bind, usagef("%s: connect needs an address and a port that is not 0, such as 127.0.0.1:8080", c.Args().First())
	}
	if s := c.String("bind"); s != "" {
		if bind, err = handParsePlace(s); err != nil {
			return nil, to, bind, err
		}
	}
	h = &handClient{count: c.Int("count"), message: c.String("message"), interval: c.Duration("interval"),
		messages: c.Int("messages"), timeout: c.Duration("timeout")}
	if err = h.check(c, bind); err != nil {
		return nil, to, bind, err
	}
	return h, to, bind, h.socketOptions(c)
}

func (h *handClient) check(c *cli.Context, bind handPlace) error {
	switch {
	case h.count < 1:
		return usagef("--count %d: open 1 connection or more", h.count)
	case h.messages < 0:
		return usagef("--messages %d: send 1 or more; 0 is until ctrl-C", h.messages)
	case h.interval <= 0:
		return usagef("--interval %s: give a time such as 1s or 200ms", h.interval)
	case h.timeout <= 0:
		return usagef("--timeout %s: give a time such as 5s", h.timeout)
	case strings.ContainsAny(h.message, "\r\n") || len(h.message) > handLongest:
		return usagef("--message: give one line of at most %d bytes", handLongest)
	case c.Bool("bind-address-no-port") && (c.String("bind") == "" || bind.port != 0):
		return usagef("--bind-address-no-port goes with --bind ADDRESS:0: it leaves the port to connect")
	}
	return nil
}

func (h *handClient) socketOptions(c *cli.Context) (err error) {
	if c.Bool("reuseaddr") {
		h.options = append(h.options, handReuseAddr())
	}
	if c.Bool("reuseport") {
		h.options = append(h.options, handReusePort())
	}
	if c.Bool("bind-address-no-port") {
		h.options = append(h.options, handNoPort())
	}
	if s := c.String("local-port-range"); s != "" {
		if h.low, h.high, err = handParseRange(s); err != nil {
			return err
		}
		h.options = append(h.options, handPortRange(h.low, h.high))
	}
	return nil
}

// open opens the connections until one is refused or ctrl-C comes.
func (h *handClient) open(ctx context.Context) error {
	for number := 1; number <= h.count && ctx.Err() == nil; number++ {
		fd, refused := h.dial(ctx)
		if ctx.Err() != nil {
			if refused == nil {
				unix.Close(fd)
			}
			return nil
		}
		if refused != nil {
			if refused.ask == "" {
				refused.ask = h.to.String()
			}
			refused.tell(h.teller)
			return refused
		}
		c := h.adopt(fd, number)
		h.connections = append(h.connections, c)
		c.ends.tell(h.teller, "connected", c.ends.words(), nil)
		h.warnOfRange(c.ends.local.Port())
	}
	return nil
}

// warnOfRange: what lies outside the host's own range the kernel passes over in
// silence (inet_sk_get_local_port_range).
func (h *handClient) warnOfRange(port uint16) {
	if !h.warned && h.high > 0 && h.from.Port() == 0 && (port < h.low || port > h.high) {
		h.warned = true
		fmt.Fprintf(os.Stderr, "brink: the kernel chose port %d: --local-port-range counts only inside net.ipv4.ip_local_port_range\n", port)
	}
}

// adopt hands a connected socket to the runtime, whose poller lets ctrl-C
// interrupt a read. An os.File does that as a net.Conn would, and without
// FileConn's dup(2): the connection that meets EMFILE is the one that the limit
// refuses, not one before it.
func (h *handClient) adopt(fd, number int) *handConnection {
	return &handConnection{ends: handEnds{number, handLocal(fd), h.to}, file: os.NewFile(uintptr(fd), "connection"), client: h}
}

func (h *handClient) closeAll() {
	for _, c := range h.connections {
		c.file.Close()
		c.tellClosed(nil)
	}
}

// beat sends on all connections until each has ended, and fails if one was lost.
func (h *handClient) beat(ctx context.Context) error {
	var all sync.WaitGroup
	for _, c := range h.connections {
		all.Go(func() { c.live(ctx) })
	}
	all.Wait()
	if lost := h.lost.Load(); lost > 0 {
		return fmt.Errorf("%d of %s lost before the end; brink why %s tells more", lost, handCount(len(h.connections), "connection"), h.to)
	}
	return nil
}

// handConnection is one connection; a goroutine of its own has it.
type handConnection struct {
	ends   handEnds
	file   *os.File
	client *handClient
	lines  handLines

	pending      []time.Time // when each message was sent that has no echo yet
	sent, echoes int64
	bytes        int64
	rtts         handRTTs
}

func (c *handConnection) live(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { c.file.Close() })
	defer stop()
	defer c.file.Close()
	err := c.converse()
	if ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		c.client.lost.Add(1)
	}
	c.tellClosed(err)
}

// converse sends when it is time to and reads in between.
func (c *handConnection) converse() error {
	b := make([]byte, 16<<10)
	for next := time.Now(); !c.done(); {
		if !c.sentAll() && !time.Now().Before(next) {
			if err := c.send(); err != nil {
				return err
			}
			next = next.Add(c.client.interval)
			if late := time.Now(); next.Before(late) {
				next = late // what was missed is not made up for in a burst
			}
		}
		until := next
		if c.sentAll() {
			until = c.pending[len(c.pending)-1].Add(c.client.timeout)
		}
		c.file.SetReadDeadline(until)
		n, err := c.file.Read(b)
		c.bytes += int64(n)
		c.lines.cut(b[:n], c.heard)
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.sentAll() {
			continue // it is time to send
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *handConnection) sentAll() bool {
	return c.client.messages > 0 && c.sent == int64(c.client.messages)
}

func (c *handConnection) done() bool { return c.sentAll() && len(c.pending) == 0 }

func (c *handConnection) send() error {
	now := time.Now()
	c.file.SetWriteDeadline(now.Add(c.client.timeout))
	if _, err := c.file.WriteString(c.client.message + "\n"); err != nil {
		return err
	}
	c.sent++
	c.pending = append(c.pending, now)
	return nil
}

// heard takes a line from the peer: the echo of the oldest message without one,
// or something else that it has to say.
func (c *handConnection) heard(line string) {
	if line != c.client.message || len(c.pending) == 0 {
		c.ends.tell(c.client.teller, "message", handPrintable(line), func(v collector.Visitor) { v.String("message", handPrintable(line)) })
		return
	}
	rtt := time.Since(c.pending[0])
	c.pending = c.pending[1:]
	c.echoes++
	c.rtts.add(rtt)
	c.ends.tell(c.client.teller, "echo", fmt.Sprintf("%s  %s", handPrintable(line), rtt.Round(time.Microsecond)), func(v collector.Visitor) {
		v.String("message", handPrintable(line))
		v.Int("rtt_ns", int64(rtt))
	})
}

func (c *handConnection) tellClosed(err error) {
	if len(c.lines.rest) > 0 {
		c.lines.flush(c.heard)
	}
	words, errno := handEnding(err)
	c.ends.tell(c.client.teller, "closed", fmt.Sprintf("%s, after %s and %s", words, handCount(c.sent, "message"), handCount(c.echoes, "echo")), func(v collector.Visitor) {
		handVisitClosed(v, words, errno)
		handVisitCounts(v, c.sent, c.bytes)
		v.Int("echoes", c.echoes)
	})
}

func (h *handClient) summarize() {
	var sent, echoes, bytes int64
	var rtts handRTTs
	for _, c := range h.connections {
		sent, echoes, bytes = sent+c.sent, echoes+c.echoes, bytes+c.bytes
		rtts.merge(c.rtts)
	}
	words := fmt.Sprintf("\n%s, %s, %s, %s", handCount(len(h.connections), "connection"),
		handCount(sent, "message"), handCount(echoes, "echo"), handCount(bytes, "byte"))
	if rtts.n > 0 {
		words += fmt.Sprintf("; round trip least %s, mean %s, most %s", rtts.least.Round(time.Microsecond),
			rtts.mean().Round(time.Microsecond), rtts.most.Round(time.Microsecond))
	}
	h.teller.tell("summary", words, func(v collector.Visitor) {
		v.Int("connections", int64(len(h.connections)))
		v.Int("lost", h.lost.Load())
		handVisitCounts(v, sent, bytes)
		v.Int("echoes", echoes)
		rtts.visit(v)
	})
}
