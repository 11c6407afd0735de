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
	messagesPiece = "messages" // hello, the server's answer, "finished"
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

// tlsByHand is what all pieces of a connection take together, and each of them.
type tlsByHand struct {
	Each        time.Duration
	Pieces      map[string]time.Duration
	Connections int
}

// byHand does again and again what a connection consists of, piece after piece:
// in a handshake too each finds the CPU's caches as the others left them. What a
// handshake does beside its cryptography cannot be done by hand: it is what is
// left of one that is resumed, with neither a certificate nor a kernel between
// the ends. So of resumption itself only the kernel's part is foretold, and of the
// others all that sets them apart from it.
func (e *tlsEnds) byHand(long time.Duration) (t tlsByHand, err error) {
	hand, err := e.newHand()
	if err != nil {
		return t, err
	}
	for begin := cpuTime(); err == nil && tooFew(len(hand.rounds), begin, long); {
		err = hand.round()
	}
	return hand.sum(), errors.Join(err, hand.end())
}

// A hand makes connections by hand, and remembers what each piece took.
type hand struct {
	options tlsOptions
	work    map[string]func() error
	end     func() error
	rounds  []tlsRound
}

func (e *tlsEnds) newHand() (*hand, error) {
	near, ended, err := e.talker()
	if err != nil {
		return nil, err
	}
	inMemory, err := newMemoryEnds(e.keys)
	if err != nil {
		return nil, err
	}
	return &hand{
		options: e.options,
		work: map[string]func() error{
			connectPiece:  func() error { _, err := e.connect(false); return err },
			messagesPiece: func() error { return errors.Join(talk(near), talk(near)) },
			sharePiece:    exchangeShares, mlkemPiece: encapsulate,
			schedulePiece: deriveKeys, recordsPiece: sealRecords, restPiece: inMemory.resume,
			signPiece: e.keys.sign, chainPiece: e.keys.verifyChain, verifyPiece: e.keys.verify,
		},
		end: func() error { return errors.Join(near.SetLinger(0), near.Close(), <-ended) },
	}, nil
}

func (h *hand) round() error {
	round, err := h.options.round(h.work)
	if err == nil {
		h.rounds = append(h.rounds, round)
	}
	return err
}

func (h *hand) sum() (t tlsByHand) {
	if len(h.rounds) > 0 {
		t.summarize(h.options, h.rounds)
	}
	return t
}

// tlsRound is one connection by hand: the CPU time of each piece.
type tlsRound map[string]time.Duration

func (o tlsOptions) round(work map[string]func() error) (tlsRound, error) {
	round := tlsRound{}
	for _, piece := range o.pieces() {
		began := cpuTime()
		if err := work[piece](); err != nil {
			return nil, fmt.Errorf("%s by hand: %w", piece, err)
		}
		round[piece] = cpuTime() - began
	}
	if o.TLS {
		round[messagesPiece] = round[messagesPiece] * 3 / 4 // four of them were sent
		// what was resumed in memory has exchanged shares, … as well
		round[restPiece] -= round[sharePiece] + round[schedulePiece] + round[recordsPiece]
	}
	return round, nil
}

// summarize takes whole rounds, not the sum of each piece's best: where others
// take the CPU away without saying so (a virtual machine), it is taken from long
// work more surely than from short work.
func (t *tlsByHand) summarize(o tlsOptions, rounds []tlsRound) {
	t.Pieces, t.Connections = map[string]time.Duration{}, len(rounds)+1 // the talker's
	var wholes []time.Duration
	for _, round := range rounds {
		var whole time.Duration
		for _, piece := range round {
			whole += piece
		}
		wholes = append(wholes, whole)
	}
	t.Each = undisturbed(wholes)
	for _, piece := range o.pieces() {
		var each []time.Duration
		for _, round := range rounds {
			each = append(each, round[piece])
		}
		t.Pieces[piece] = undisturbed(each)
	}
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
