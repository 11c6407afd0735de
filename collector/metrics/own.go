package metrics

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sys/unix"
)

// Program is what a BPF program has cost since it was loaded. Run and Time are 0
// unless the kernel's statistics are on.
type Program struct {
	Name string
	Runs uint64
	Time time.Duration
}

// Mode is the rung that a hook is seen on.
type Mode struct{ Hook, Rung string }

// Spans is what became of spans, and how many wait.
type Spans struct{ Sent, Dropped, Failed, Queued uint64 }

// own tells what brink itself costs and what it has lost.
func (p *Producer) own(b *batch) error {
	ownProcess(b)
	for _, m := range call(p.o.Modes) {
		b.int(&hookMode, 1, attribute.String("brink.hook", m.Hook), attribute.String("brink.rung", m.Rung))
	}
	for _, program := range call(p.o.Programs) {
		name := attribute.String("brink.program", program.Name)
		b.float(&runTime, program.Time.Seconds(), name)
		b.int(&runCount, program.Runs, name)
	}
	if p.o.Spans != nil {
		ownSpans(b, p.o.Spans())
	}
	if p.o.MapBytes != nil {
		b.int(&kernelBytes, p.o.MapBytes())
	}
	if p.o.Summary == nil {
		return nil
	}
	s, err := p.o.Summary()
	ownEvents(b, s)
	return err
}

func call[T any](f func() []T) []T {
	if f == nil {
		return nil
	}
	return f()
}

// ownEvents: a reason that has not occurred is told as zero, so that its first
// occurrence shows as an increase.
func ownEvents(b *batch, s collector.Summary) {
	b.int(&events, s.Events)
	for _, lost := range []struct {
		reason string
		n      uint64
	}{{"ring_full", s.Lost}, {"map_full", s.Untracked}, {"unpaired_return", s.Missed}, {"undecodable", s.Undecodable}} {
		b.int(&eventsLost, lost.n, attribute.String("brink.reason", lost.reason))
	}
	b.int(&skipped, s.Skipped)
}

func ownSpans(b *batch, s Spans) {
	for _, is := range []struct {
		outcome string
		n       uint64
	}{{"sent", s.Sent}, {"dropped", s.Dropped}, {"failed", s.Failed}} {
		b.int(&spans, is.n, attribute.String("brink.outcome", is.outcome))
	}
	b.int(&spansQueued, s.Queued)
}

func ownProcess(b *batch) {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		b.float(&cpuTime, seconds(usage.Utime), attribute.String("cpu.mode", "user"))
		b.float(&cpuTime, seconds(usage.Stime), attribute.String("cpu.mode", "system"))
	}
	if n, ok := resident(); ok {
		b.int(&memoryUsage, n)
	}
}

func seconds(t unix.Timeval) float64 { return time.Duration(t.Nano()).Seconds() }

// resident is the second field of /proc/self/statm, in pages.
func resident() (bytesResident uint64, ok bool) {
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(content)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err == nil
}
