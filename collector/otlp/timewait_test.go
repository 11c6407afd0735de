package otlp

import (
	"testing"
	"time"

	"brink/collector"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	leave         = collector.TimeWaitLeave
	afterTimeWait = 65 * time.Second
)

func lingering() end {
	e := client()
	e.timeWait = true
	return e
}

func seconds(s *tracepb.Span) float64 {
	return time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano).Seconds()
}

func TestTimeWaitReused(t *testing.T) {
	environment(t, nil)
	for event, want := range map[collector.TimeWaitEvent]string{
		collector.TimeWaitLeave: "", collector.TimeWaitReuseConnect: "connect", collector.TimeWaitReuseSYN: "syn",
	} {
		spans := exported(t, func(e *Exporter) {
			lingering().tell(t, e.Accept)
			lingering().step(t, event, 6*time.Second, e.Accept)
		})
		s := one(t, spans, "tcp time_wait")
		isChild(t, s, one(t, spans, "tcp client connection"))
		if got := attributeOf(s, collector.KeyReusedBy); got != want {
			t.Errorf("event %v: reused by %q, want %q", event, got, want)
		}
		if seconds(s) != 1 {
			t.Errorf("event %v: %v s, want 1", event, seconds(s))
		}
	}
}

// TestFinWait2Turns: one span from entering as an orphan to leaving as a true
// TIME_WAIT, with the turn as its event.
func TestFinWait2Turns(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		c := client()
		c.finWait2 = true
		c.tell(t, e.Accept)
		c.step(t, collector.TimeWaitEnter, 7*time.Second, e.Accept)
		c.step(t, leave, 67*time.Second, e.Accept)
	})
	s := one(t, spans, "tcp time_wait")
	isChild(t, s, one(t, spans, "tcp client connection"))
	if got := attributeOf(s, collector.KeyTimeWaitKind); got != "time_wait" {
		t.Errorf("kind %q", got)
	}
	if len(s.Events) != 1 || s.Events[0].Name != "time_wait" || s.Events[0].TimeUnixNano != uint64(at(7*time.Second).UnixNano()) {
		t.Errorf("events %v, want the turn at 7 s", s.Events)
	}
	if seconds(s) != 62 {
		t.Errorf("%v s, want 62", seconds(s))
	}
}

func TestSampledOutFinWait2Turns(t *testing.T) {
	environment(t, map[string]string{"OTEL_TRACES_SAMPLER": "always_off"})
	spans := exported(t, func(e *Exporter) {
		c := client()
		c.finWait2 = true
		c.tell(t, e.Accept)
		if e.timeWaits.oldest.Len() != 1 {
			t.Error("not remembered: its turning would look like a new one")
		}
		c.step(t, collector.TimeWaitEnter, 7*time.Second, e.Accept)
		c.step(t, leave, 67*time.Second, e.Accept)
		e.Accept(aLimitHit())
	})
	if len(spans) != 1 {
		t.Errorf("spans %q, want the limit hit alone", namesOf(spans))
	}
}

func TestOpenAtShutdown(t *testing.T) {
	const n = 3000 // more than the queue holds at once
	environment(t, map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "100"})
	var e *Exporter
	spans := exported(t, func(x *Exporter) {
		e = x
		for i := range n {
			c := lingering()
			c.isnLocal, c.netns = uint32(i), uint32(i) // not the same tuple again
			c.tell(t, func(f collector.Fact) {
				if f.Kind() == collector.KindTimeWait {
					e.Accept(f)
				}
			})
		}
	})
	open := named(spans, "tcp time_wait")
	if len(open) != n || e.Dropped() != 0 {
		t.Fatalf("%d spans, dropped %d, want all %d", len(open), e.Dropped(), n)
	}
	for _, s := range open {
		if attributeOf(s, keyOpen) != "true" {
			t.Fatal("it does not say that it was open still")
		}
	}
}

func TestTimeWaitsAreBounded(t *testing.T) {
	environment(t, nil)
	var e *Exporter
	spans := exported(t, func(x *Exporter) {
		e = x
		e.timeWaits.limit = 10
		for i := range 13 {
			c := lingering()
			c.netns = uint32(i + 1)
			c.tell(t, e.Accept)
		}
		for i := range 13 {
			c := lingering()
			c.netns = uint32(i + 1)
			c.step(t, leave, afterTimeWait, e.Accept)
		}
	})
	left := named(spans, "tcp time_wait")
	if len(left) != 10 || e.Dropped() != 3 {
		t.Fatalf("%d spans, dropped %d; want 10 and 3", len(left), e.Dropped())
	}
	if got := attributeOf(left[0], collector.KeyNetns); got != "4" {
		t.Errorf("the oldest one left is %s, want 4", got)
	}
}

// TestLeavingThatWasNotTold: on tracepoints nothing is. The tuple's next
// connection shows that it was free by then.
func TestLeavingThatWasNotTold(t *testing.T) {
	environment(t, nil)
	var e *Exporter
	spans := exported(t, func(x *Exporter) {
		e = x
		again := lingering()
		again.after = 20 * time.Second
		lingering().tell(t, e.Accept)
		again.tell(t, e.Accept)
		again.step(t, leave, 25*time.Second+afterTimeWait, e.Accept)
		again.step(t, leave, 25*time.Second+afterTimeWait, e.Accept) // entered before brink
	})
	left := named(spans, "tcp time_wait")
	if len(left) != 2 || e.Dropped() != 0 {
		t.Fatalf("%d spans, dropped %d; want 2 and 0", len(left), e.Dropped())
	}
	clients := named(spans, "tcp client connection")
	if left[0].EndTimeUnixNano != clients[1].StartTimeUnixNano || attributeOf(left[0], keyAssumed) != "true" {
		t.Errorf("the first one lasted %v s, want to the second connection's start, assumed", seconds(left[0]))
	}
	if attributeOf(left[1], keyAssumed) != "" {
		t.Error("the second one's end was told, and is said to be assumed")
	}
}

// TestOverdue: what was not told to leave has left after 60 seconds.
func TestOverdue(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		lingering().tell(t, e.Accept) // enters at 5 s
		turning := client()
		turning.finWait2, turning.netns = true, 1
		turning.tell(t, e.Accept) // at 5 s
		turning.step(t, collector.TimeWaitEnter, 15*time.Second, e.Accept)
		e.sweep(at(79 * time.Second))
		if n := e.Stats().OpenTimeWaits; n != 2 {
			t.Errorf("%d open when a timer may still be late, want 2", n)
		}
		e.sweep(at(80 * time.Second))
		if n := e.Stats().OpenTimeWaits; n != 1 {
			t.Errorf("%d open, want the one that turned late", n)
		}
		e.sweep(at(90 * time.Second))
	})
	left := named(spans, "tcp time_wait")
	if len(left) != 2 || seconds(left[0]) != 60 || seconds(left[1]) != 70 {
		t.Fatalf("spans %v, want two, of 60 and 70 s", left)
	}
	for _, s := range left {
		if attributeOf(s, keyAssumed) != "true" {
			t.Error("it does not say that its end is assumed")
		}
	}
}

// TestOrphan: a timewait socket whose connection was not told of.
func TestOrphan(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		e.Accept(&collector.Connection{Local: serverAddress, Peer: clientAddress, End: at(0)})
		lingering().step(t, collector.TimeWaitEnter, 5*time.Second, e.Accept)
		lingering().step(t, leave, 4*time.Second, e.Accept) // the clock was set back
	})
	s := one(t, spans, "tcp time_wait")
	isRoot(t, s)
	if seconds(s) != 0 {
		t.Errorf("%v s, want 0", seconds(s))
	}
	if c := one(t, spans, "tcp connection"); c.StartTimeUnixNano != c.EndTimeUnixNano {
		t.Error("a connection of unknown birth has a length")
	}
}
