package experiments

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The pieces of a connection with TLS 1.3 (RFC 8446, section 2).
const (
	connectPiece  = "connect"
	messagesPiece = "messages" // two to the server and two back
	sharePiece    = "x25519"
	mlkemPiece    = "ml-kem"
	schedulePiece = "key schedule"
	recordsPiece  = "records"
	restPiece     = "rest" // messages made and read, memory, the session
	signPiece     = "sign"
	chainPiece    = "chain"
	verifyPiece   = "verify"
)

// pieces are those that both ends do together.
func (o tlsOptions) pieces() []string {
	pieces := []string{connectPiece}
	if o.TLS {
		pieces = append(pieces, messagesPiece, sharePiece, schedulePiece, recordsPiece, restPiece)
	}
	if o.TLS && o.PostQuantum {
		pieces = append(pieces, mlkemPiece)
	}
	if o.TLS && !o.Resume { // else the session's key vouches for the server
		pieces = append(pieces, signPiece, chainPiece, verifyPiece)
	}
	return pieces
}

// tlsByHand is the median of each piece's CPU time.
type tlsByHand struct {
	Pieces      map[string]time.Duration
	Connections int
}

// byHand does n times what a connection consists of, piece after piece and never
// the same one twice in a row: in a handshake too each finds the CPU's caches
// as the others left them. What a handshake does beside its cryptography cannot
// be done by hand: it is what is left of one that is resumed, with neither a
// certificate nor a kernel between the ends.
func (e *tlsEnds) byHand(n int) (t tlsByHand, err error) {
	near, ended, err := e.talker()
	if err != nil {
		return t, err
	}
	inMemory, err := newMemoryEnds(e.keys)
	if err != nil {
		return t, err
	}
	work := map[string]func() error{
		connectPiece:  func() error { _, err := e.connect(false); return err },
		messagesPiece: func() error { return errors.Join(talk(near), talk(near)) },
		sharePiece:    exchangeShares, mlkemPiece: encapsulate,
		schedulePiece: deriveKeys, recordsPiece: sealRecords, restPiece: inMemory.resume,
		signPiece: e.keys.sign, chainPiece: e.keys.verifyChain, verifyPiece: e.keys.verify,
	}
	each := map[string][]time.Duration{}
	for begin := cpuTime(); tooFew(len(each[connectPiece]), n, begin); {
		for _, piece := range e.options.pieces() {
			began := cpuTime()
			if err := work[piece](); err != nil {
				return t, fmt.Errorf("%s by hand: %w", piece, err)
			}
			each[piece] = append(each[piece], cpuTime()-began)
		}
	}
	t.Pieces, t.Connections = map[string]time.Duration{}, len(each[connectPiece])+1
	for piece, times := range each {
		t.Pieces[piece] = median(times)
	}
	known := t.Pieces[sharePiece] + t.Pieces[schedulePiece] + t.Pieces[recordsPiece]
	t.Pieces[restPiece] = max(t.Pieces[restPiece]-known, 0)
	return t, errors.Join(near.SetLinger(0), near.Close(), <-ended)
}

// memoryEnds resume one session again and again, over a pipe of Go's.
type memoryEnds struct{ client, server *tls.Config }

func newMemoryEnds(keys *tlsKeys) (m memoryEnds, err error) {
	m.client, m.server = keys.configs(tlsOptions{TLS: true, Resume: true})
	_, err = m.handshake()
	return m, err
}

func (m memoryEnds) resume() error {
	resumed, err := m.handshake()
	if err == nil && !resumed {
		err = errors.New("the session was not resumed")
	}
	return err
}

func (m memoryEnds) handshake() (resumed bool, err error) {
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan error)
	go func() {
		_, err := tls.Server(far, m.server).Write([]byte{'!'})
		served <- err
	}()
	resumed, err = hear(tls.Client(near, m.client))
	return resumed, errors.Join(err, <-served)
}

// talker is a connection whose far end answers every message with one.
func (e *tlsEnds) talker() (near *net.TCPConn, ended chan error, err error) {
	ended = make(chan error)
	go func() {
		conn, err := e.listener.Accept()
		if err == nil {
			_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}) // until near resets; no splice(2)
			err = conn.Close()
		}
		ended <- err
	}()
	near, err = net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(e.options.At))
	return near, ended, err
}

// talk sends as much as a ClientHello or a certificate take.
func talk(conn *net.TCPConn) error {
	var message [600]byte
	if _, err := conn.Write(message[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, message[:])
	return err
}
