package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// A collector that has stopped reading makes the agent ill, and nothing else
// about time does.
func TestAgentHealth(t *testing.T) {
	var a agent
	status := func() int {
		w := httptest.NewRecorder()
		a.healthz(w, httptest.NewRequest("GET", "/healthz", nil))
		return w.Code
	}
	if got := status(); got != http.StatusOK {
		t.Errorf("before the first record: %d", got)
	}
	a.pulse.beat(time.Now())
	if got := status(); got != http.StatusOK {
		t.Errorf("reading: %d", got)
	}
	a.pulse.beat(time.Now().Add(-asleep - time.Second))
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("stuck: %d", got)
	}
	if got := probe(a.readyz); got != http.StatusServiceUnavailable {
		t.Errorf("readyz before anything is observed: %d", got)
	}
}

func probe(handler http.HandlerFunc) int {
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest("GET", "/", nil))
	return w.Code
}

// The history is bounded; what fell out of it is not said to have been watched.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	h.since = time.Now().Add(-time.Minute)
	hit := &collector.LimitHit{Limit: limits.FileDescriptors, Errno: unix.EMFILE, Netns: 1, Count: 1}
	for range mostRemembered {
		h.Accept(hit)
	}
	refusals, span, _ := h.about(historyQuestion{Netns: 1}, time.Now())
	if n := refusals.All()[0].Count; n != mostRemembered || span < time.Minute {
		t.Errorf("%d in %s", n, span)
	}
	for range 10 {
		h.Accept(hit)
	}
	refusals, span, _ = h.about(historyQuestion{Netns: 1}, time.Now())
	if n := refusals.All()[0].Count; n > mostRemembered || len(h.ring) != mostRemembered || span >= time.Minute {
		t.Errorf("%d in %s, %d kept", n, span, len(h.ring))
	}
	old := h.since.Add(-2 * remembered)
	h.since = old
	if _, span, _ = h.about(historyQuestion{Netns: 1}, time.Now()); span > remembered {
		t.Errorf("watched for %s", span)
	}
}

// Facts are lent: what the history keeps is its own.
func TestHistoryKeepsCopies(t *testing.T) {
	var h history
	h.since = time.Now().Add(-time.Minute)
	lent := &collector.LimitHit{Limit: limits.FileDescriptors, Errno: unix.EMFILE, Netns: 1, Count: 1}
	h.Accept(lent)
	lent.Netns = 2
	refusals, _, _ := h.about(historyQuestion{Netns: 1}, time.Now())
	if len(refusals.All()) != 1 {
		t.Error("the kept fact changed with the lent one")
	}
}

func TestHistoryConcerns(t *testing.T) {
	here, there := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:40000")
	hit := &collector.LimitHit{Netns: 1, Local: here, Peer: there}
	storm := &collector.ConnectFailures{Netns: 1, Count: 100}
	for _, test := range []struct {
		what     string
		q        historyQuestion
		fact     collector.Fact
		concerns bool
		may      bool
	}{
		{"no filter", historyQuestion{Netns: 1}, hit, true, false},
		{"local port", historyQuestion{Netns: 1, Port: 80}, hit, true, false},
		{"peer's port", historyQuestion{Netns: 1, Port: 40000}, hit, true, false},
		{"another port", historyQuestion{Netns: 1, Port: 81}, hit, false, false},
		{"peer", historyQuestion{Netns: 1, Address: there.Addr(), Port: 40000}, hit, true, false},
		{"another address", historyQuestion{Netns: 1, Address: netip.MustParseAddr("10.0.0.3")}, hit, false, false},
		{"a storm, without filter", historyQuestion{Netns: 1}, storm, true, true},
		{"a storm", historyQuestion{Netns: 1, Port: 80}, storm, false, true},
		{"a storm elsewhere", historyQuestion{Netns: 2, Port: 80}, storm, false, false},
	} {
		if got := test.q.concerns(test.fact); got != test.concerns {
			t.Errorf("%s: concerns is %v", test.what, got)
		}
		if got := test.q.mayConcern(test.fact); got != test.may {
			t.Errorf("%s: may concern is %v", test.what, got)
		}
	}
}

func TestHistoryQuestion(t *testing.T) {
	for url, good := range map[string]bool{
		"/?netns=1": true,
		"/?netns=1&pid=2&port=80&address=::1&hook=bind": true,
		"/":                         false,
		"/?netns=0":                 false,
		"/?netns=1&port=65536":      false,
		"/?netns=1&pid=-1":          false,
		"/?netns=1&address=nowhere": false,
	} {
		if _, err := parseHistoryQuestion(httptest.NewRequest("GET", url, nil)); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestCompleteResource(t *testing.T) {
	for _, test := range [][3]string{
		{"", "node1", "k8s.node.name=node1"},
		{"a=b", "node1", "a=b,k8s.node.name=node1"},
		{"k8s.node.name=other", "node1", "k8s.node.name=other"},
		{"a=b", "", "a=b"},
	} {
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", test[0])
		t.Setenv("NODE_NAME", test[1])
		if err := completeResource(); err != nil {
			t.Error(err)
		}
		if got := os.Getenv("OTEL_RESOURCE_ATTRIBUTES"); got != test[2] {
			t.Errorf("%s", got)
		}
	}
}
