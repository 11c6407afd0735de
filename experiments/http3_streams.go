package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"brink/collector/memory"
	"brink/collector/sockdiag"
)

func init() {
	register(Experiment{
		Name: "http3-streams", Group: Multiplex, Takes: 3 * time.Second,
		Question: "how many 4-tuples do N concurrent requests take on HTTP/3?",
		Expect:   "1 of UDP and none of TCP, whatever N is: above the server's limit of streams requests wait",
		Hooks:    []string{"state"},
		Legs: func(s Size) []Leg {
			n := 100
			if s.Full {
				n = 1000
			}
			return []Leg{
				http3Streams("as many requests as streams, IPv4", IPv4, n, n),
				http3Streams("as many requests as streams, IPv6", IPv6, n, n),
				http3Streams("more requests than streams", IPv4, 2*n+n/2, n),
			}
		},
	})
}

// http3Streams: quic-go waits for a stream (OpenStreamSync), it makes no further
// connection. The server's limit is a transport parameter, told in the handshake.
func http3Streams(name string, f Family, requests, streams int) Leg {
	load := httpLoad{Requests: requests}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			o := httpOptions{At: f.at(1, firstPort), Version: 3, Streams: streams}
			return b.prepareHTTP(ctx, f, o, &load)
		},
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: 1, Unit: "UDP 4-tuples", Formula: "1: min(requests, initial_max_streams_bidi) at once, the others wait",
				Inputs: []Input{{"requests", requests}, {"initial_max_streams_bidi", streams}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			atOnce := min(requests, streams)
			p, err := b.pushHTTP(ctx, load, atOnce)
			return Measurement{
				Value: p.all.Remotes, Problem: p.neverMore(atOnce), Findings: []Finding{p.waiting(load)},
			}, err
		},
		Inspect: twoUDPSockets,
	}
}

// noteWebSockets counts the lab's UDP sockets while requests are under way: all
// at the server's port, and the others, which are the client's.
func (b *Bench) noteWebSockets(l httpLoad) error {
	if l.Version != 3 {
		return nil
	}
	sockets, err := b.udpAt(0)
	b.note(quicServersNote, socketsOn(sockets, l.At))
	b.note(quicClientsNote, len(sockets)-socketsOn(sockets, l.At))
	return err
}

// The notes of noteWebSockets.
const (
	quicServersNote = "UDP sockets of the server"
	quicClientsNote = "UDP sockets of the client"
)

func socketsOn(sockets []sockdiag.Socket, at netip.AddrPort) (n int) {
	for _, s := range sockets {
		if s.Local.Port() == at.Port() {
			n++
		}
	}
	return n
}

// twoUDPSockets: one at each end, in the kernel's own list. That there is no TCP
// endpoint the judge has seen to.
func twoUDPSockets(b *Bench, _ Measurement, _ memory.Evidence) string {
	if s, c := b.Notes[quicServersNote], b.Notes[quicClientsNote]; s != 1 || c != 1 {
		return fmt.Sprintf("one UDP socket was to be at each end, the kernel lists %d of the server and %d of the client", s, c)
	}
	return ""
}
