package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"brink/collector"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A backend may die and return, at the same address.
type backend struct {
	*receiver
	protocol, address string
	die               func()
}

func newBackend(t *testing.T, protocol string) *backend {
	b := &backend{receiver: &receiver{}, protocol: protocol, address: "127.0.0.1:0"}
	b.live(t)
	t.Cleanup(func() { b.die() })
	return b
}

func (b *backend) live(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	if b.protocol == "grpc" {
		s := grpc.NewServer()
		collectorpb.RegisterTraceServiceServer(s, b.receiver)
		go s.Serve(l)
		b.die = s.Stop
		return
	}
	s := &http.Server{Handler: b.receiver}
	go s.Serve(l)
	b.die = func() { s.Close() }
}

// spansReceived are all, and by their ids.
func (b *backend) spansReceived() (all []*tracepb.Span, byID map[string]*tracepb.Span) {
	for _, r := range b.received() {
		all = append(all, spansOf(r)...)
	}
	return all, bySpanID(all)
}

// impatient shortens what an outage takes.
func impatient(e *Exporter) {
	for _, p := range e.pipes {
		p.firstPause, p.pause = 10*time.Millisecond, 10*time.Millisecond
	}
}

// until waits for something that will come true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s still not %s", what)
		}
	}
}

// balance checks that every span is somewhere.
func balance(t *testing.T, e *Exporter) Stats {
	t.Helper()
	s := e.Stats()
	if s.Made != s.Queued+s.Sent+s.Failed+s.Dropped-s.Unmade {
		t.Fatalf("made %d, and then %+v", s.Made, s)
	}
	return s
}

// TestBackendDiesAndReturns: what the queue had room for comes when it is back,
// the newest connections and every limit hit; the rest is counted.
func TestBackendDiesAndReturns(t *testing.T) {
	const before, during, hits, room = 300, 5000, 200, 1000
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			noLeak(t)
			b := newBackend(t, protocol)
			environment(t, map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL":    protocol,
				"OTEL_EXPORTER_OTLP_ENDPOINT":    "http://" + b.address,
				"OTEL_EXPORTER_OTLP_TIMEOUT":     "200",
				"OTEL_BSP_MAX_QUEUE_SIZE":        fmt.Sprint(room),
				"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100",
				"OTEL_BSP_SCHEDULE_DELAY":        "20",
			})
			e := newExporter(t, Options{})
			impatient(e)
			c := connectionOf(t, client())
			tell := func(n int) {
				for range n {
					c.InitialLocal++
					e.Accept(&c)
				}
			}
			tell(before)
			until(t, "sent", func() bool { return balance(t, e).Sent == before })

			b.die()
			tell(before)
			until(t, "away", func() bool { return balance(t, e).Away })
			for i := range hits {
				h := aLimitHit()
				h.Time = h.Time.Add(time.Duration(i))
				e.Accept(h)
			}
			tell(during)
			s := balance(t, e)
			if s.Queued != room || s.Dropped != before+during+hits-room || s.Failed != 0 {
				t.Fatalf("away: %+v; want %d queued and the rest dropped", s, room)
			}

			b.live(t)
			until(t, "all sent", func() bool { return balance(t, e).Sent == before+room })
			if balance(t, e).Away {
				t.Error("it is said to be away when it is back")
			}
			shutdown(t, e)
			checkSurvivors(t, b, &c, before+room, hits)
		})
	}
}

func checkSurvivors(t *testing.T, b *backend, last *collector.Connection, sent, hits int) {
	all, byID := b.spansReceived()
	if len(all) != sent || len(byID) != sent {
		t.Errorf("%d spans came, %d different ones, want %d", len(all), len(byID), sent)
	}
	if n := len(named(all, "limit_hit ephemeral_ports")); n != hits {
		t.Errorf("%d limit hits of %d survived", n, hits)
	}
	for range 100 { // the newest
		_, id, _ := Identity(last)
		if byID[string(id[:])] == nil {
			t.Fatalf("the connection of %#x was dropped, older ones were not", last.InitialLocal)
		}
		last.InitialLocal--
	}
}

// TestMemoryInAnOutage: however much is told, the queue holds its bytes.
func TestMemoryInAnOutage(t *testing.T) {
	noLeak(t)
	environment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + nobody(t),
		"OTEL_BSP_MAX_QUEUE_SIZE": "1000000",
	})
	e := newExporter(t, Options{})
	c := aBusyConnection(t)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	empty := heap()
	for range 300_000 {
		c.InitialLocal++
		e.Accept(&c)
	}
	s, full := balance(t, e), heap()-empty
	t.Logf("%d spans of %.1f MiB wait, %d were dropped: %.1f MiB of heap", s.Queued, float64(s.QueuedBytes)/(1<<20), s.Dropped, full)
	if s.Dropped == 0 || s.QueuedBytes > maxQueueBytes || s.QueuedBytes < maxQueueBytes*9/10 {
		t.Errorf("%+v: want it full and no fuller", s)
	}
	if full > 1.5*maxQueueBytes/(1<<20) {
		t.Errorf("the queue takes %.1f MiB", full)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	e.Shutdown(ctx)
	if s := balance(t, e); s.Queued != 0 {
		t.Errorf("after shutdown %+v", s)
	}
}

// TestRefusedBatch: what a backend refuses is not sent again.
func TestRefusedBatch(t *testing.T) {
	for code, wantAway := range map[int]bool{400: false, 401: false, 413: false, 500: false, 429: true, 503: true} {
		s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			http.Error(w, "no", code)
		})}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go s.Serve(l)
		environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY": "5"})
		e := newExporter(t, Options{})
		impatient(e)
		e.Accept(aLimitHit())
		until(t, "refused", func() bool { s := balance(t, e); return s.Away == wantAway && s.Failed == 1 || s.Away })
		if got := balance(t, e); got.Away != wantAway {
			t.Errorf("%d: %+v", code, got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		e.Shutdown(ctx)
		cancel()
		s.Close()
	}
}

func TestIsAway(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Aborted} {
		if err := errors.Join(nil, status.Error(code, "")); !isAway(err) {
			t.Errorf("%v is final", err)
		}
	}
	for _, err := range []error{nil, errCutOff, errFileClosed, errors.New("OTLP partial success: no (3 spans rejected)"),
		status.Error(codes.InvalidArgument, ""), status.Error(codes.ResourceExhausted, ""), status.Error(codes.Unauthenticated, "")} {
		if isAway(err) {
			t.Errorf("%v is tried again", err)
		}
	}
}

// TestNoReconnectStorm: a backend that hangs up at once is left alone for a while.
func TestNoReconnectStorm(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		connections := make(chan int)
		go func() {
			n := 0
			for {
				c, err := l.Accept()
				if err != nil {
					connections <- n
					return
				}
				c.Close()
				n++
			}
		}()
		environment(t, map[string]string{
			"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(),
			"OTEL_BSP_MAX_QUEUE_SIZE": "10",
		})
		e := newExporter(t, Options{Logger: slog.New(slog.DiscardHandler)})
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			e.Accept(aLimitHit())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		e.Shutdown(ctx)
		cancel()
		l.Close()
		if n := <-connections; n < 1 || n > 8 {
			t.Errorf("%s: %d connections in a second", protocol, n)
		}
	}
}

func TestOutageTellsWhatItMeans(t *testing.T) {
	log := &lines{}
	o := outage{log: slog.New(slog.NewTextHandler(log, nil)), destination: "there"}
	o.note(status.Error(codes.Unavailable, "gone"))
	if !strings.Contains(log.String(), "spans wait") {
		t.Errorf("the log says %s", log)
	}
}
