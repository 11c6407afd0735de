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
		if attributeOf(s, "brink.time_wait.open") != "true" {
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

func TestLeavingThatWasNotTold(t *testing.T) {
	environment(t, nil)
	var e *Exporter
	spans := exported(t, func(x *Exporter) {
		e = x
		lingering().tell(t, e.Accept)
		lingering().tell(t, e.Accept) // the tuple was free again meanwhile
		lingering().step(t, leave, afterTimeWait, e.Accept)
		lingering().step(t, leave, afterTimeWait, e.Accept) // entered before brink
	})
	if n := len(named(spans, "tcp time_wait")); n != 1 || e.Dropped() != 1 {
		t.Errorf("%d spans, dropped %d; want 1 and 1", n, e.Dropped())
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
