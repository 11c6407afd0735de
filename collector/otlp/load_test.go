package otlp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"brink/collector"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// asReceiver makes TestReceiverProcess a receiver in a process of its own, as a
// Collector on the same host is.
const asReceiver = "BRINK_TEST_OTLP_RECEIVER"

// counting decodes spans as the Collector's receiver does, and counts them.
type counting struct {
	ptraceotlp.UnimplementedGRPCServer
	spans atomic.Uint64
}

func (c *counting) Export(_ context.Context, q ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	c.spans.Add(uint64(q.Traces().SpanCount()))
	return ptraceotlp.NewExportResponse(), nil
}

// TestReceiverProcess is no test: it serves until standard input ends, then says
// how many spans came and how much processor time they took.
func TestReceiverProcess(t *testing.T) {
	if os.Getenv(asReceiver) == "" {
		t.Skip("run by others, as a process of its own")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, s := &counting{}, grpc.NewServer(grpc.MaxRecvMsgSize(4<<20))
	ptraceotlp.RegisterGRPCServer(s, c)
	go s.Serve(l)
	fmt.Println(l.Addr())
	bufio.NewReader(os.Stdin).ReadString('\n')
	s.Stop()
	fmt.Println(c.spans.Load(), processorTime().Nanoseconds())
}

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// receiverProcess starts one; stop ends it and returns what it counted.
func receiverProcess(t testing.TB) (address string, stop func() (spans uint64, cpu time.Duration)) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^TestReceiverProcess$")
	c.Env = append(os.Environ(), asReceiver+"=1")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); c.Wait() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), func() (uint64, time.Duration) {
		in.Close()
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		count, cpu, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(cpu, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n, time.Duration(ns)
	}
}

// aBusyConnection is what a connection in production looks like: an owner in a
// container, all its states, bytes and retransmissions.
func aBusyConnection(t testing.TB) collector.Connection {
	e := client()
	e.netns, e.finWait2, e.timeWait = labNetns, true, true
	c := connectionOf(t, e)
	c.Owner.Cgroup = ownCgroup(t)
	c.Retransmits, c.BytesSent, c.BytesReceived = 3, 12_345, 678_901
	return c
}

func ownCgroup(t testing.TB) uint64 {
	info, err := os.Stat("/sys/fs/cgroup")
	if err != nil {
		return 1
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// overGRPC is an exporter to a receiver in another process.
func overGRPC(t testing.TB) (e *Exporter, stop func() (spans uint64, cpu time.Duration)) {
	address, stop := receiverProcess(t)
	environment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address,
	})
	return newExporter(t, Options{}), stop
}

// TestMoreThanItCanSend: told as fast as this process can, which no receiver
// follows. What was not received was dropped and counted.
func TestMoreThanItCanSend(t *testing.T) {
	const n = 300_000
	e, stop := overGRPC(t)
	c := aBusyConnection(t)
	for range n {
		c.InitialLocal++
		e.Accept(&c)
	}
	shutdown(t, e)
	received, _ := stop()
	s := balance(t, e)
	t.Logf("of %d spans %d were received, %d dropped", n, received, s.Dropped)
	if s.Failed != 0 || received != s.Sent || received+s.Dropped != n {
		t.Errorf("%d received of %d: %+v", received, n, s)
	}
}

// BenchmarkGRPC is the whole way: from the fact to a receiver in another process
// that has decoded the span. It waits where the queue is half full, so that
// none is dropped, and fails if one was lost.
func BenchmarkGRPC(b *testing.B) {
	export(b, func(e *Exporter, _ int) {
		for p := e.pipes[0]; p.waiting() > p.queue.maxSpans/2; {
			time.Sleep(time.Millisecond)
		}
	})
}

// BenchmarkGRPCAt50000 tells 50,000 connections a second, in bursts as the
// collector does, waits for nothing, and fails if one was lost.
func BenchmarkGRPCAt50000(b *testing.B) {
	begin := time.Now()
	export(b, func(_ *Exporter, i int) {
		const burst = 50
		if i%burst == 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / 50_000)))
		}
	})
}

func export(b *testing.B, pace func(e *Exporter, i int)) {
	e, stop := overGRPC(b)
	c := aBusyConnection(b)
	cpu, begin := processorTime(), time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		pace(e, i)
		c.InitialLocal++
		e.Accept(&c)
	}
	b.StopTimer()
	shutdown(b, e)
	took, cpu := time.Since(begin), processorTime()-cpu
	received, theirs := stop()
	if s := e.Stats(); received != uint64(b.N) {
		b.Errorf("%d spans received of %d: %+v", received, b.N, s)
	}
	b.ReportMetric(float64(b.N)/took.Seconds(), "spans/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/span")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "receiver-cpu-ns/span")
}
