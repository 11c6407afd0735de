package experiments

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// The programs of the process that is client and server.
var (
	startTLS          = lab.DefineProgram("start TLS", startTLSInside)
	measureByHand     = lab.DefineProgram("measure a handshake's pieces", func(long time.Duration) (tlsByHand, error) { return tlsInside.byHand(long) })
	measureHandshakes = lab.DefineProgram("measure handshakes", func(long time.Duration) (tlsMeasured, error) { return tlsInside.measure(long) })
	stopTLS           = lab.DefineProgram("stop TLS", func(struct{}) (struct{}, error) { return struct{}{}, tlsInside.listener.Close() })
)

// tlsOptions say what the two ends do once connected.
type tlsOptions struct {
	At          netip.AddrPort
	TLS         bool
	RSA         bool // the server's key: RSA-2048 in place of ECDSA P-256
	PostQuantum bool // X25519MLKEM768, which is Go's default, in place of X25519
	Resume      bool
}

// tlsMeasured is what a connection takes, and what one by hand took meanwhile. The
// first connection resumes nothing.
type tlsMeasured struct {
	Each        time.Duration
	Connections int
	Resumed     int
	ByHand      tlsByHand
}

// tlsEnds are a client and a server in one process, in one lab's worker.
type tlsEnds struct {
	options tlsOptions
	keys    *tlsKeys
	client  *tls.Config
	server  *tls.Config

	listener *net.TCPListener
	served   chan error // of one connection each
}

var tlsInside *tlsEnds

// startTLSInside keeps Go on one CPU: looking for work on others costs time that
// is no connection's.
func startTLSInside(o tlsOptions) (struct{}, error) {
	runtime.GOMAXPROCS(1)
	keys, err := newTLSKeys(o.RSA)
	if err != nil {
		return struct{}{}, err
	}
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(o.At))
	if err != nil {
		return struct{}{}, err
	}
	tlsInside = &tlsEnds{options: o, keys: keys, listener: listener, served: make(chan error)}
	tlsInside.client, tlsInside.server = keys.configs(o)
	return struct{}{}, nil
}

func (k *tlsKeys) configs(o tlsOptions) (client, server *tls.Config) {
	curves := []tls.CurveID{tls.X25519}
	if o.PostQuantum {
		curves = []tls.CurveID{tls.X25519MLKEM768}
	}
	client = &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, RootCAs: k.roots, ServerName: tlsName}
	server = &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: curves,
		Certificates: []tls.Certificate{k.certificate()}, SessionTicketsDisabled: !o.Resume,
	}
	if o.Resume {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return client, server
}

// measure makes connections one after the other, each followed by one by hand: what
// slows the CPU down for a while slows both. The first is not measured: it makes
// what later ones find made, such as the session that they resume.
func (e *tlsEnds) measure(long time.Duration) (m tlsMeasured, err error) {
	if _, err := e.connect(e.options.TLS); err != nil {
		return m, err
	}
	m.Connections = 1
	hand, err := e.newHand()
	if err != nil {
		return m, err
	}
	var each []time.Duration
	for begin := cpuTime(); err == nil && tooFew(len(each), begin, long); {
		var took time.Duration
		took, err = e.measureOne(&m)
		each = append(each, took)
		err = cmp.Or(err, hand.round())
	}
	m.Each, m.ByHand = undisturbed(each), hand.sum()
	return m, errors.Join(err, hand.end())
}

func (e *tlsEnds) measureOne(m *tlsMeasured) (took time.Duration, err error) {
	began := cpuTime()
	resumed, err := e.connect(e.options.TLS)
	took = cpuTime() - began
	m.Connections++
	if resumed {
		m.Resumed++
	}
	return took, err
}

// tooFew: as long as was asked for, since the CPU's caches stay cold for a while
// after another process has had it; and some, however slow the CPU.
func tooFew(done int, begin, long time.Duration) bool {
	return done < 32 || cpuTime()-begin < long
}

// connect makes one connection: the server says one byte, which also brings the
// session ticket along, and the client resets, so that no port stays in
// TIME_WAIT. It returns when both ends are closed.
func (e *tlsEnds) connect(secure bool) (resumed bool, err error) {
	go e.serve(secure)
	conn, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(e.options.At))
	if err != nil {
		return false, err
	}
	if secure {
		resumed, err = hear(tls.Client(conn, e.client))
	} else {
		_, err = conn.Read(make([]byte, 1))
	}
	return resumed, errors.Join(err, conn.SetLinger(0), conn.Close(), <-e.served)
}

func hear(conn *tls.Conn) (resumed bool, err error) {
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return false, fmt.Errorf("the client's end: %w", err)
	}
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS13 {
		return false, fmt.Errorf("the version is %s", tls.VersionName(state.Version))
	}
	return state.DidResume, nil
}

func (e *tlsEnds) serve(secure bool) {
	conn, err := e.listener.Accept()
	if err != nil {
		e.served <- err
		return
	}
	end := conn
	if secure {
		end = tls.Server(conn, e.server)
	}
	if _, err = end.Write([]byte{'!'}); err != nil {
		err = fmt.Errorf("the server's end: %w", err)
	}
	end.Read(make([]byte, 1)) // until the client resets
	e.served <- errors.Join(err, conn.Close())
}

// cpuTime is what this process has had of all CPUs.
func cpuTime() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// undisturbed is the lowest decile. It leaves out what befalls the others and costs
// them time: the garbage collector, an interrupt, another process in the caches.
func undisturbed(each []time.Duration) time.Duration {
	slices.Sort(each)
	return each[len(each)/10]
}
