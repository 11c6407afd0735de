package experiments

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"brink/experiments/lab"
)

// What a client does with a name.
var (
	lookUpName = lab.DefineProgram("look a name up", func(n nameAsked) ([]netip.Addr, error) {
		ctx, cancel := context.WithTimeout(context.Background(), settling)
		defer cancel()
		return n.resolver().LookupNetIP(ctx, "ip", n.Name)
	})
	dialName  = lab.DefineProgram("connect to a name", dialNameInside)
	leaveName = lab.DefineProgram("close connections to a name", func(struct{}) (struct{}, error) {
		return struct{}{}, namedInside.reset()
	})
)

// nameAsked is a name, and who is asked for its addresses.
type nameAsked struct {
	Server netip.AddrPort
	Name   string
	Port   uint16
	Most   int // connections
}

// nameDialled is how far a client came. Attempts are the sockets that were to be
// connected: what did not open was refused.
type nameDialled struct {
	Opened, Attempts int
	Errno            syscall.Errno
	Peers            map[netip.Addr]int
}

// resolver asks the lab's own server: /etc/resolv.conf is the host's.
func (n nameAsked) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, n.Server.String())
	}}
}

// namedConns are the worker's connections to names.
type namedConns struct {
	mu    sync.Mutex
	conns []net.Conn
}

var namedInside namedConns

// dialNameInside connects to the name, which is looked up each time, until that
// fails. Go's Dialer goes through the addresses one after the other: with no
// FallbackDelay it would begin with the other family's when the first takes long.
func dialNameInside(n nameAsked) (d nameDialled, err error) {
	d.Peers = map[netip.Addr]int{}
	dialer := net.Dialer{
		Resolver: n.resolver(), FallbackDelay: -1, Timeout: time.Minute,
		Control: func(string, string, syscall.RawConn) error { d.Attempts++; return nil },
	}
	address := net.JoinHostPort(n.Name, fmt.Sprint(n.Port))
	for d.Opened < n.Most {
		conn, err := dialer.Dial("tcp", address)
		if errors.As(err, &d.Errno) {
			return d, nil
		}
		if err != nil {
			return d, err
		}
		d.Opened++
		d.Peers[conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()]++
		namedInside.keep(conn)
	}
	return d, nil
}

func (c *namedConns) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *namedConns) reset() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		lingerless(conn)
		err = errors.Join(err, conn.Close())
	}
	c.conns = nil
	return err
}
