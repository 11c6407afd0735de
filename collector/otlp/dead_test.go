package otlp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// nobody is an address that refuses connections.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silence is an address that accepts connections and never says anything.
func silence(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the kernel completes handshakes up to the backlog
}

const told, smallQueue, patience = 100, 16, time.Second

// TestDeadEndpoint: facts are taken at once, Shutdown keeps its deadline and
// leaves no goroutine, every span is accounted for, and the file has them all.
func TestDeadEndpoint(t *testing.T) {
	for _, test := range []struct {
		name, protocol string
		address        func(*testing.T) string
		// An export over HTTP that is refused fails at once, and is not tried
		// again when the exporter is shut down. The others hang, or gRPC's
		// client tries again by itself, until they are cut off.
		failsAtOnce bool
	}{
		{"refuses grpc", "grpc", nobody, false},
		{"refuses http", "http/protobuf", nobody, true},
		{"silent grpc", "grpc", silence, false},
		{"silent http", "http/protobuf", silence, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeak(t)
			environment(t, map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": test.protocol,
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + test.address(t),
				"OTEL_BSP_MAX_QUEUE_SIZE":     strconv.Itoa(smallQueue),
			})
			log := &lines{}
			file := filepath.Join(t.TempDir(), "spans.otlp.jsonl")
			e := newExporter(t, Options{File: file, Logger: slog.New(slog.NewTextHandler(log, nil))})
			tellMany(t, e)
			if e.Dropped() < told-2*smallQueue {
				t.Errorf("dropped %d: more than a queue of %d was queued", e.Dropped(), smallQueue)
			}
			err := shutdownInTime(t, e)
			checkLost(t, e, test.failsAtOnce, err)
			if n := log.count("level=WARN"); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, log)
			}
			if n := countSpans(t, file); n != told {
				t.Errorf("%d spans in the file, want %d", n, told)
			}
		})
	}
}

// tellMany tells more than the queues hold and gives the file's, alone, the
// time it needs.
func tellMany(t *testing.T, e *Exporter) {
	t.Helper()
	var longest time.Duration
	for i := range told {
		begin := time.Now()
		e.Accept(aLimitHit())
		longest = max(longest, time.Since(begin))
		if i%(smallQueue/2) == 0 {
			flushFile(t, e)
		}
	}
	if longest > patience/2 {
		t.Errorf("one Accept took %v", longest)
	}
}

func shutdownInTime(t *testing.T, e *Exporter) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := time.Now()
	err := e.Shutdown(ctx)
	if took := time.Since(begin); took > patience+100*time.Millisecond {
		t.Errorf("shutdown took %v of %v", took, patience)
	}
	return err
}

func checkLost(t *testing.T, e *Exporter, failsAtOnce bool, err error) {
	t.Helper()
	if e.Failed()+e.Dropped() != told {
		t.Errorf("failed %d + dropped %d, want %d in all", e.Failed(), e.Dropped(), told)
	}
	if err == nil || errors.Is(err, errCutOff) == failsAtOnce {
		t.Errorf("shutdown says %v", err)
	}
}

func countSpans(t *testing.T, file string) (n int) {
	t.Helper()
	for _, r := range readFile(t, file) {
		n += len(spansOf(r))
	}
	return n
}

func flushFile(t *testing.T, e *Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.pipes[0].ForceFlush(ctx); err != nil {
		t.Fatal(err)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(s string) int { return strings.Count(l.String(), s) }
