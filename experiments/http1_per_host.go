package experiments

import (
	"context"
	"fmt"
	"time"
)

func init() {
	register(Experiment{
		Name: "http1-per-host", Group: Multiplex, Takes: 3 * time.Second,
		Question: "how many connections does a browser make to one hostname?",
		Expect: "min(requests, limit per host): 6 with a real Chromium where one is installed, " +
			"MaxConnsPerHost with Go's own client, and as many as requests without it",
		Hooks: []string{"state"},
		Legs: func(s Size) []Leg {
			n := 40
			if s.Full {
				n = 400
			}
			return []Leg{
				goPerHost("Go's client with MaxConnsPerHost 6, IPv4", IPv4, n, 6),
				goPerHost("Go's client with MaxConnsPerHost 6, IPv6", IPv6, n, 6),
				goPerHost("Go's client with more than it asks for", IPv4, 10, 11),
				goPerHost("Go's client without a limit", IPv4, n, 0),
				chromiumPerHost(n),
			}
		},
	})
}

// goPerHost: with no limit (0) it is the control.
func goPerHost(name string, f Family, requests, perHost int) Leg {
	load := httpLoad{Requests: requests, PerHost: perHost}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			return b.prepareHTTP(ctx, f, httpOptions{At: f.at(1, firstPort), Version: 1}, &load)
		},
		Predict: func(context.Context, *Bench) (Prediction, error) { return predictPerHost(load), nil },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			atOnce := predictPerHost(load).Value
			p, err := b.pushHTTP(ctx, load, atOnce)
			m := p.overTCP()
			m.Problem = p.neverMore(atOnce)
			m.Findings = []Finding{p.waiting(load)}
			return m, err
		},
	}
}

// predictPerHost: HTTP/1.1 carries one request at a time on a connection.
func predictPerHost(l httpLoad) Prediction {
	p := Prediction{
		Value: l.Requests, Unit: "connections at once", Formula: "requests: no limit per host",
		Inputs: []Input{{"requests", l.Requests}},
	}
	if l.PerHost > 0 {
		p.Value, p.Formula = min(l.Requests, l.PerHost), "min(requests, limit per host)"
		p.Inputs = append(p.Inputs, Input{"limit per host", l.PerHost})
	}
	return p
}

// chromiumsLimit is ClientSocketPoolManager's for one host and scheme
// (kDefaultMaxSocketsPerGroup, net/socket/client_socket_pool_manager.cc); no
// setting of the program changes it, and no program tells it.
const chromiumsLimit = 6

// chromiumPerHost has a browser load a page of pictures that never end.
func chromiumPerHost(pictures int) Leg {
	at := IPv4.at(1, firstPort)
	load := httpLoad{Requests: pictures, PerHost: chromiumsLimit}
	return Leg{
		Name: "a real Chromium",
		Prepare: func(ctx context.Context, b *Bench) error {
			return b.prepareHTTP(ctx, IPv4, httpOptions{At: at, Version: 1, Page: pageOf(pictures)}, &load)
		},
		Predict: func(context.Context, *Bench) (Prediction, error) { return predictPerHost(load), nil },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			path := findChromium()
			if path == "" {
				return Measurement{}, skipf("no Chromium is installed: none of %v is in PATH", chromiumNames)
			}
			return b.pushChromium(ctx, path, fmt.Sprintf("http://%s/", at), min(pictures, chromiumsLimit))
		},
	}
}

// pushChromium looks while the browser waits for its first pictures. Its own
// connections are counted by the server: a browser may open some ahead of need.
func (b *Bench) pushChromium(ctx context.Context, path, url string, atOnce int) (m Measurement, err error) {
	if _, err := startChromium.Run(ctx, b.Client, chromiumOptions{Path: path, URL: url}); err != nil {
		return m, err
	}
	defer endChromium.Run(context.WithoutCancel(ctx), b.Client, struct{}{}) // also after a failure
	var held httpServed
	err = b.await(ctx, func() (_ bool, err error) {
		held, err = lookAtHTTP.Run(ctx, b.Server, struct{}{})
		return held.Holding >= atOnce, err
	})
	if err != nil {
		return m, err
	}
	time.Sleep(10 * webGrace)
	if held, err = lookAtHTTP.Run(ctx, b.Server, struct{}{}); err != nil {
		return m, err
	}
	if _, err := stopChromium.Run(ctx, b.Client, struct{}{}); err != nil {
		return m, err
	}
	if _, err := resetHTTP.Run(ctx, b.Server, struct{}{}); err != nil {
		return m, err
	}
	all, err := lookAtHTTP.Run(ctx, b.Server, struct{}{})
	if err != nil {
		return m, err
	}
	counters, err := b.Lab.Counters(ctx) // it may have closed what it opened ahead of need
	m = Measurement{Value: held.MostOpen, Endpoints: 2 * all.Accepted, TimeWaits: int(counters["TCP.tw"])}
	if held.Holding != atOnce {
		m.Problem = fmt.Sprintf("%d pictures were to be loaded at once, the server held %d", atOnce, held.Holding)
	}
	return m, err
}
