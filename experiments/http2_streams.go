package experiments

import (
	"context"
	"time"
)

func init() {
	register(Experiment{
		Name: "http2-streams", Group: Multiplex, Takes: 3 * time.Second,
		Question: "how many connections do N concurrent requests take on HTTP/2?",
		Expect: "1, up to the server's SETTINGS_MAX_CONCURRENT_STREAMS; above it ⌈N / streams⌉ connections, " +
			"or waiting where the client is strict",
		Hooks: []string{"state"},
		Legs: func(s Size) []Leg {
			const streams = 100 // the least that RFC 9113 recommends, and many servers' default
			above := 250
			if s.Full {
				above = 2500
			}
			return []Leg{
				http2Streams("as many requests as streams, IPv4", IPv4, streams, httpLoad{Requests: streams}),
				http2Streams("as many requests as streams, IPv6", IPv6, streams, httpLoad{Requests: streams}),
				http2Streams("more requests than streams", IPv4, streams, httpLoad{Requests: above, OneByOne: true}),
				http2Streams("more requests than streams, strict", IPv4, streams, httpLoad{Requests: above, Strict: true}),
				http2Streams("a server with 8 streams", IPv4, 8, httpLoad{Requests: 20, OneByOne: true}),
			}
		},
	})
}

// http2Streams asks the server first, as a client does by its first frame.
func http2Streams(name string, f Family, streams int, load httpLoad) Leg {
	var allowed int
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			o := httpOptions{At: f.at(1, firstPort), Version: 2, Streams: streams}
			if err := b.prepareHTTP(ctx, f, o, &load); err != nil {
				return err
			}
			if allowed, err = askStreams.Run(ctx, b.Client, load); err != nil {
				return err
			}
			return b.awaitNoConnection(ctx)
		},
		Predict: func(context.Context, *Bench) (Prediction, error) { return predictHTTP2(load, allowed), nil },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			atOnce := load.Requests
			if load.Strict {
				atOnce = min(load.Requests, allowed)
			}
			p, err := b.pushHTTP(ctx, load, atOnce)
			m := p.overTCP()
			m.Problem = p.neverMore(atOnce)
			m.Findings = []Finding{p.waiting(load)}
			return m, err
		},
	}
}

func predictHTTP2(l httpLoad, streams int) Prediction {
	p := Prediction{
		Value: (l.Requests + streams - 1) / streams, Unit: "connections at once",
		Formula: "⌈requests / MAX_CONCURRENT_STREAMS⌉",
		Inputs:  []Input{{"requests", l.Requests}, {"MAX_CONCURRENT_STREAMS", streams}},
	}
	if l.Strict {
		p.Value, p.Formula = 1, "1: min(requests, MAX_CONCURRENT_STREAMS) at once, the others wait"
		p.Inputs = append(p.Inputs, Input{"StrictMaxConcurrentStreams", true})
	}
	return p
}
