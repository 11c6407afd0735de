package ledger

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"brink/collector"
	"brink/collector/sockdiag"
)

// A Reading is what a namespace says of itself at one moment.
type Reading struct {
	At         time.Time // just before the counters were read
	Cookie     uint64    // of the namespace; 0 is unknown
	Counters   Counters
	FinTimeout time.Duration // tcp_fin_timeout; 0 is unknown
	// Moved: the counters were no longer the same afterwards, so that what was
	// read does not belong to one moment.
	Moved bool

	listed    bool // the sockets below were asked for, and told
	timeWaits map[tuple]timeWait
	others    map[tuple]struct{} // the tuples that any other socket holds
}

// timeWait is a timewait socket that the kernel lists.
type timeWait struct {
	state collector.State // tw_substate, its kind
	port  uint16          // local
	to    destinationKey
}

// maxOthers is how many other sockets are listed to find new holders of tuples.
const maxOthers = 1 << 17

// read reads the namespace that the calling thread is in. By the counters want
// says which sockets are listed: timewait sockets, and all others too.
func read(at time.Time, want func(Counters) (list, others bool)) (Reading, error) {
	r := Reading{At: at, Cookie: cookie(), FinTimeout: finTimeout()}
	if err := r.Counters.read(); err != nil {
		return r, err
	}
	if list, others := want(r.Counters); list {
		r.list(others && inUse() <= maxOthers)
	}
	var after Counters
	err := after.read()
	r.Moved = after != r.Counters
	return r, err
}

// read reads /proc/net, which shows the reading thread's namespace.
func (c *Counters) read() error {
	netstat, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		return err
	}
	sockstat, err := os.ReadFile("/proc/thread-self/net/sockstat")
	if err != nil {
		return err
	}
	return errors.Join(c.parseSockstat(string(sockstat)), c.parseNetstat(string(netstat)))
}

// inUse is how many TCP sockets there are besides timewait sockets.
func inUse() (n int64) {
	for file, protocol := range map[string]string{"sockstat": "TCP:", "sockstat6": "TCP6:"} {
		content, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil {
			continue // no IPv6 in this kernel
		}
		if in, err := sockstat(string(content), protocol, "inuse"); err == nil {
			n += in
		}
	}
	return n
}

// list asks sock_diag. Not every orphan in FIN_WAIT2 is a timewait socket: one
// whose FIN was acknowledged while close() still held it stays a real one until
// tcp_fin_timeout (tcp_rcv_state_process, sock_owned_by_user).
func (r *Reading) list(others bool) {
	states := uint32(1<<collector.TimeWaitState | 1<<collector.FinWait2)
	if others {
		states = 1<<collector.BoundInactive - 1 - 1<<collector.Listen
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{States: states})
	if err != nil {
		return
	}
	r.listed, r.timeWaits, r.others = true, map[tuple]timeWait{}, map[tuple]struct{}{}
	for i := range sockets {
		s := &sockets[i]
		if key := tupleOf(s.Local, s.Peer); s.TimeWait {
			r.timeWaits[key] = timeWait{collector.State(s.State), s.Local.Port(), destinationOf(collector.RoleUnknown, s.Local, s.Peer)}
		} else {
			r.others[key] = struct{}{}
		}
	}
}

// finTimeout reads the reading thread's namespace, as all of /proc/sys/net does.
func finTimeout() time.Duration {
	content, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout")
	if err != nil {
		return 0
	}
	seconds, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
