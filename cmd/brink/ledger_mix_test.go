package main

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/ledger"
	"brink/collector/sockdiag"
	"brink/experiments/lab"
)

// closer is a lab in which connections are closed in all ways, and what the
// ledger should have of it. Which kind a close enters as may depend on a delayed
// ACK: wanted has them all under Entered.
type closer struct {
	*lab.Lab
	name           string
	born           time.Time
	lasted         time.Duration
	server, client *lab.Worker
	wanted         ledger.Figures
	closes         int
	port           uint16 // of the listener made last: each way has its own, so that no tuple comes again by chance
	accepted       map[lab.Handle]int
}

var families = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

func newCloser(t *testing.T, name string, sysctls map[string]string) *closer {
	t.Helper()
	l := newLab(t)
	sysctls["net.ipv4.tcp_rfc1337"] = "1" // no reset ends a TIME_WAIT
	for name, value := range sysctls {
		if err := l.SetSysctl(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	return &closer{
		Lab: l, name: name, born: time.Now(), server: newWorker(t, l, lab.WorkerOptions{}), client: newWorker(t, l, lab.WorkerOptions{}),
		port: 80, accepted: map[lab.Handle]int{},
	}
}

// polite listens and closes after its client has.
func (c *closer) polite(t *testing.T, addr netip.Addr) lab.Socket {
	return c.listen(t, addr, lab.ListenOptions{Accept: true, CloseOnEOF: true})
}

// silent listens and leaves the closing to the test.
func (c *closer) silent(t *testing.T, addr netip.Addr) lab.Socket {
	return c.listen(t, addr, lab.ListenOptions{Accept: true})
}

func (c *closer) listen(t *testing.T, addr netip.Addr, o lab.ListenOptions) lab.Socket {
	t.Helper()
	c.port++
	o.Addr = netip.AddrPortFrom(addr, c.port)
	return must[lab.Socket](t)(c.server.Listen(t.Context(), o))
}

// connect opens connections, which the server has accepted then.
func (c *closer) connect(t *testing.T, to lab.Socket, n int) lab.Sockets {
	t.Helper()
	r := must[lab.ConnectResult](t)(c.client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{to.Addr}, Count: n}))
	if r.Opened != n {
		t.Fatalf("%d of %d connections to %v: %v", r.Opened, n, to.Addr, r.Errno)
	}
	c.awaitAccepted(t, to, n)
	return r.Sockets
}

func (c *closer) awaitAccepted(t *testing.T, by lab.Socket, n int) {
	t.Helper()
	c.accepted[by.Handle] += n
	awaitThat(t, "connections accepted", func() bool {
		return must[lab.Accepted](t)(c.server.Accepted(t.Context(), by.Handle, false)).Count >= c.accepted[by.Handle]
	})
}

func (c *closer) closeClients(t *testing.T, s lab.Sockets, how lab.How) {
	t.Helper()
	c.closes += must[int](t)(c.client.CloseSockets(t.Context(), s, how))
}

func (c *closer) closeServers(t *testing.T, l lab.Socket) {
	t.Helper()
	c.closes += must[int](t)(c.server.CloseAccepted(t.Context(), l.Handle, lab.CloseNormally))
}

// clientsClose leave TIME_WAIT to the clients.
func (c *closer) clientsClose(t *testing.T, addr netip.Addr, n int) lab.Socket {
	listener := c.polite(t, addr)
	c.closeClients(t, c.connect(t, listener, n), lab.CloseNormally)
	c.wanted.Entered += int64(n)
	return listener
}

// serversClose leave it to the server. A client that closed before it had the
// FIN would get a TIME_WAIT as well.
func (c *closer) serversClose(t *testing.T, addr netip.Addr, n int) {
	listener := c.silent(t, addr)
	clients := c.connect(t, listener, n)
	c.closeServers(t, listener)
	c.awaitSockets(t, collector.CloseWait, n)
	must[int](t)(c.client.CloseSockets(t.Context(), clients, lab.CloseNormally))
	c.wanted.Entered += int64(n)
}

// orphansTurn: the clients are gone, as timewait sockets of kind fin_wait_2,
// when the server closes.
func (c *closer) orphansTurn(t *testing.T, addr netip.Addr, n int) {
	listener := c.orphans(t, addr, n)
	must[int](t)(c.server.CloseAccepted(t.Context(), listener.Handle, lab.CloseNormally))
	c.awaitSockets(t, collector.FinWait2, 0)
}

// orphans wait for a server that does not close.
func (c *closer) orphans(t *testing.T, addr netip.Addr, n int) lab.Socket {
	listener := c.silent(t, addr)
	clients := c.connect(t, listener, n)
	c.closeClients(t, clients, lab.CloseNormally)
	c.awaitAcknowledged(t, n)
	c.wanted.Entered += int64(n)
	return listener
}

// killed: data for an orphan's timewait socket is answered with a RST, and the
// socket ends (tcp_timewait_state_process gives TCP_TW_RST).
func (c *closer) killed(t *testing.T, addr netip.Addr, n int) {
	listener := c.silent(t, addr)
	clients := c.connect(t, listener, n)
	c.closeServers(t, listener)
	c.awaitAcknowledged(t, n)
	entered := c.orphaned(t, listener)
	if told := must[map[syscall.Errno]int](t)(c.client.Probe(t.Context(), clients, 0)); told[syscall.EPIPE] != n {
		t.Fatalf("data to %d orphans: %v", n, told)
	}
	must[int](t)(c.client.CloseSockets(t.Context(), clients, lab.CloseReset))
	c.wanted.Entered += entered
	c.wanted.LeftEarly += entered
}

// orphaned are a listener's timewait sockets of kind fin_wait_2. It has fewer
// than orphans where an ACK came while close() still held the socket: such a one
// stays real (tcp_rcv_state_process, sock_owned_by_user).
func (c *closer) orphaned(t *testing.T, listener lab.Socket) (n int64) {
	t.Helper()
	q := sockdiag.Query{NetnsPath: c.NetnsPath(), LocalPort: listener.Addr.Port(), States: 1 << collector.FinWait2}
	for _, s := range must[[]sockdiag.Socket](t)(sockdiag.Dump(q)) {
		if s.TimeWait {
			n++
		}
	}
	return n
}

// reset leave nothing.
func (c *closer) reset(t *testing.T, addr netip.Addr, n int) {
	c.closeClients(t, c.connect(t, c.silent(t, addr), n), lab.CloseReset)
}

// reusedBySYN: the servers closed first, the same clients come again, and every
// second one stays.
func (c *closer) reusedBySYN(t *testing.T, addr netip.Addr, n int) {
	to := c.silent(t, addr)
	first := c.connectFrom(t, to, 5000, n)
	c.closeServers(t, to)
	c.awaitSockets(t, collector.CloseWait, n)
	for _, s := range first {
		must[int](t)(c.client.CloseSockets(t.Context(), s, lab.CloseNormally))
	}
	c.awaitSockets(t, collector.LastAck, 0)
	time.Sleep(10 * time.Millisecond) // the SYN's timestamp must be later than the last segment's
	again := c.connectFrom(t, to, 5000, n)
	for _, s := range again[:n/2] {
		c.closeClients(t, s, lab.CloseReset)
	}
	c.wanted.Entered += int64(n)
	c.wanted.ReusedSYN += int64(n)
}

// reusedByConnect: clients whose ports are all in TIME_WAIT connect again. One
// half of them closes, the other holds its tuples.
func (c *closer) reusedByConnect(t *testing.T, to lab.Socket, n int) {
	open := c.connect(t, to, n)
	open.Count = n / 2
	c.closeClients(t, open, lab.CloseNormally)
	c.wanted.Entered += int64(n / 2)
	c.wanted.ReusedConnect += int64(n)
}

// allByTimer waits until every orphan's timer has run out.
func (c *closer) allByTimer(t *testing.T) {
	awaitThat(t, "the orphans' timers", func() bool { return c.counters(t)["TCP.tw"] == 0 && c.count(t, collector.FinWait2) == 0 })
	k := c.counters(t)
	c.wanted.Entered = int64(k["TcpExt.TW"] + k["TcpExt.TWKilled"])
	c.wanted.LeftTimer = c.wanted.Entered
	if c.wanted.Entered < int64(c.closes*9/10) {
		t.Errorf("of %d orphans %d became timewait sockets", c.closes, c.wanted.Entered)
	}
}

// overflowed: one or two more may enter than there are places for: the count is
// read before it is raised.
func (c *closer) overflowed(t *testing.T) {
	c.settle(t)
	c.wanted.Overflowed = int64(c.counters(t)["TcpExt.TCPTimeWaitOverflow"])
	c.wanted.Entered -= c.wanted.Overflowed
	if c.wanted.Entered < 100 || c.wanted.Entered > 102 {
		t.Errorf("%d closes for 100 places overflowed %d times", c.closes, c.wanted.Overflowed)
	}
}

func (c *closer) connectFrom(t *testing.T, to lab.Socket, port uint16, n int) (all []lab.Sockets) {
	t.Helper()
	for i := range uint16(n) {
		r := must[lab.ConnectResult](t)(c.client.Connect(t.Context(), lab.ConnectOptions{
			To: []netip.AddrPort{to.Addr}, From: netip.AddrPortFrom(to.Addr.Addr(), port+i),
			SocketOptions: lab.SocketOptions{ReuseAddr: true},
		}))
		if r.Opened != 1 {
			t.Fatalf("from port %d to %v: %v", port+i, to.Addr, r.Errno)
		}
		all = append(all, r.Sockets)
	}
	c.awaitAccepted(t, to, n)
	return all
}

func (c *closer) counters(t *testing.T) map[string]uint64 {
	t.Helper()
	return must[map[string]uint64](t)(c.Counters(t.Context()))
}

// settle waits until nothing more happens: a FIN may wait for a delayed ACK.
func (c *closer) settle(t *testing.T) {
	t.Helper()
	awaitThat(t, "peace", func() bool {
		before := c.counters(t)
		time.Sleep(250 * time.Millisecond)
		after := c.counters(t)
		return before["TcpExt.TW"] == after["TcpExt.TW"] && before["TCP.tw"] == after["TCP.tw"] && c.count(t, collector.FinWait1) == 0
	})
}

// awaitAcknowledged waits for the ACKs of n FINs, which may be delayed.
func (c *closer) awaitAcknowledged(t *testing.T, n int) {
	t.Helper()
	c.awaitSockets(t, collector.CloseWait, n)
	c.awaitSockets(t, collector.FinWait1, 0)
}

// awaitSockets waits until so many sockets are in a state: at least, or none.
func (c *closer) awaitSockets(t *testing.T, s collector.State, n int) {
	t.Helper()
	awaitThat(t, s.String(), func() bool {
		found := c.count(t, s)
		return found == 0 && n == 0 || found >= n && n > 0
	})
}

func (c *closer) count(t *testing.T, s collector.State) int {
	t.Helper()
	return len(must[[]sockdiag.Socket](t)(sockdiag.Dump(sockdiag.Query{NetnsPath: c.NetnsPath(), States: 1 << s})))
}

func awaitThat(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for: ", what)
		}
	}
}
