package experiments

import (
	"testing"
)

func TestPredictPerHost(t *testing.T) {
	for _, row := range []struct{ requests, perHost, want int }{
		{40, 6, 6}, {6, 6, 6}, {5, 6, 5}, {1, 1, 1}, {40, 0, 40},
	} {
		equal(t, "connections", predictPerHost(httpLoad{Requests: row.requests, PerHost: row.perHost}).Value, row.want)
	}
}

func TestPredictHTTP2(t *testing.T) {
	for _, row := range []struct {
		requests, streams int
		strict            bool
		want              int
	}{
		{1, 100, false, 1}, {100, 100, false, 1}, {101, 100, false, 2}, {250, 100, false, 3}, {20, 8, false, 3},
		{101, 100, true, 1}, {250, 100, true, 1},
	} {
		equal(t, "connections", predictHTTP2(httpLoad{Requests: row.requests, Strict: row.strict}, row.streams).Value, row.want)
	}
}

// TestWebSettingsMoveBoth: other limits, and prediction and measurement change
// together.
func TestWebSettingsMoveBoth(t *testing.T) {
	for _, row := range []struct {
		name string
		leg  Leg
		want int
	}{
		{"3 for a host", goPerHost("go", IPv4, 10, 3), 3},
		{"4 streams, 9 requests", http2Streams("h2", IPv6, 4, httpLoad{Requests: 9, OneByOne: true}), 3},
		{"4 streams, strict", http2Streams("h2", IPv4, 4, httpLoad{Requests: 20, Strict: true}), 1},
		{"3 streams of QUIC", http3Streams("h3", IPv6, 10, 3), 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := run(t, noKernel(), oneLeg(row.leg))
			judged(t, row.name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.want)
			equal(t, "measured", r.Measured.Value, row.want)
		})
	}
}

// TestWebIsNotBelieved: what the server or the kernel sees otherwise never holds.
func TestWebIsNotBelieved(t *testing.T) {
	told := fourPortsTold()
	told.Hits, told.Connections = nil, 7
	r := run(t, &fakeKernel{told: told}, oneLeg(goPerHost("go", IPv4, 10, 3)))
	judged(t, "another number of endpoints", r, Refuted, "measured 6 established endpoints, the kernel told of 7")

	told.Connections = 0
	quic := http3Streams("h3", IPv4, 4, 4)
	quic.Push = afterwards(quic.Push, func(b *Bench) { b.note(quicClientsNote, 2) })
	r = run(t, &fakeKernel{told: told}, oneLeg(quic))
	judged(t, "a second UDP socket", r, Refuted,
		"one UDP socket was to be at each end, the kernel lists 1 of the server and 2 of the client")

	equal(t, "more at once", webPush{all: httpServed{MostHeld: 5}}.neverMore(4), "5 requests were under way at once, not 4 at most")
	equal(t, "a problem", webPush{problem: "!", all: httpServed{MostHeld: 5}}.neverMore(4), "!")
}
