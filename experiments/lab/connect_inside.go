package lab

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const defaultPatience = 10 * time.Second

// A dialer carries out one Connect.
type dialer struct {
	ConnectOptions
	result ConnectResult
	open   []int
}

// begunConnection is one whose SYN is under way.
type begunConnection struct {
	fd    int
	to    netip.AddrPort
	until time.Time
}

func (in *inside) connect(o ConnectOptions) (ConnectResult, error) {
	if len(o.To) == 0 {
		return ConnectResult{}, errors.New("connect: no address to connect to (ConnectOptions.To)")
	}
	if o.Count == 0 {
		o.Count = len(o.To)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultPatience
	}
	d := &dialer{ConnectOptions: o, result: ConnectResult{Errnos: map[syscall.Errno]int{}}}
	start := time.Now()
	if o.Concurrent {
		d.together()
	} else {
		d.oneByOne()
	}
	d.result.Elapsed = time.Since(start)
	d.result.Opened = len(d.open)
	d.result.Sockets = in.sockets.add(d.open...)
	return d.result, nil
}

func (d *dialer) oneByOne() {
	pace := newPace(d.Every)
	for i := range d.Count {
		pace.wait()
		c, ok := d.begin(d.To[i%len(d.To)])
		if ok {
			ok = d.settle(c)
		}
		if !ok && !d.KeepGoing {
			return
		}
	}
}

func (d *dialer) together() {
	var begun []begunConnection
	pace := newPace(d.Every)
	for i := range d.Count {
		pace.wait()
		c, ok := d.begin(d.To[i%len(d.To)])
		if ok {
			begun = append(begun, c)
		} else if !d.KeepGoing {
			break
		}
	}
	for _, c := range begun {
		d.settle(c)
	}
}

// begin sends the SYN, unless a call is refused before.
func (d *dialer) begin(to netip.AddrPort) (begunConnection, bool) {
	d.result.Attempts++
	fd, refusal := d.socket(to)
	if refusal != nil {
		return begunConnection{}, d.refuse(refusal)
	}
	if refusal := startConnect(fd, to); refusal != nil {
		unix.Close(fd)
		return begunConnection{}, d.refuse(refusal)
	}
	return begunConnection{fd: fd, to: to, until: time.Now().Add(d.Timeout)}, true
}

func (d *dialer) socket(to netip.AddrPort) (int, *Refusal) {
	if d.From.IsValid() {
		return boundSocket(d.From, d.SocketOptions)
	}
	domain, _, refusal := sockaddr("connect", to)
	if refusal != nil {
		return -1, refusal
	}
	return newSocket(domain, d.SocketOptions)
}

// settle waits for the handshake's outcome and keeps the connection if it stands.
func (d *dialer) settle(c begunConnection) bool {
	if refusal := awaitConnect(c.fd, c.to, c.until); refusal != nil {
		unix.Close(c.fd)
		return d.refuse(refusal)
	}
	if d.Greeting {
		greeting, refusal := readGreeting(c.fd, c.until)
		if refusal != nil {
			unix.Close(c.fd)
			return d.refuse(refusal)
		}
		d.result.Greetings = append(d.result.Greetings, greeting)
	}
	if d.Locals {
		d.result.Locals = append(d.result.Locals, onWire(localAddr(c.fd)))
	}
	d.open = append(d.open, c.fd)
	return true
}

// refuse notes the refusal; it is always false, for the caller to return.
func (d *dialer) refuse(r *Refusal) bool {
	if d.result.Errno == 0 {
		d.result.FailedCall, d.result.Errno = r.Call, r.Errno
	}
	d.result.Errnos[r.Errno]++
	return false
}
