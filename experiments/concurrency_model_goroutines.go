package experiments

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// goroutines is what Go's own servers do: net.Conn, and a goroutine that reads.
type goroutines struct {
	listener *net.TCPListener
	held     []*net.TCPConn
	running  sync.WaitGroup
}

func newGoroutines(at netip.AddrPort) (connectionModel, error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	return &goroutines{listener: l}, err
}

func (g *goroutines) accept() error {
	if err := g.listener.SetDeadline(time.Now().Add(modelPatience)); err != nil {
		return err
	}
	c, err := g.listener.AcceptTCP()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errNoConnection
	case err != nil:
		return err
	}
	g.held = append(g.held, c)
	return nil
}

func (g *goroutines) serve() error {
	c := g.held[len(g.held)-1]
	g.running.Go(func() {
		var message [64]byte
		for {
			n, err := c.Read(message[:])
			if err != nil {
				return
			}
			if _, err := c.Write(message[:n]); err != nil {
				return
			}
		}
	})
	return nil
}

func (g *goroutines) close() (err error) {
	for _, c := range g.held {
		err = errors.Join(err, c.SetLinger(0), c.Close())
	}
	g.held = nil
	g.running.Wait()
	return err
}

func (g *goroutines) stop() error { return g.listener.Close() }
