package otlp

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
)

func TestWrongSettings(t *testing.T) {
	for _, test := range []struct{ variable, value, want string }{
		{"OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER is "zipkin": use otlp or none`},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", `OTEL_EXPORTER_OTLP_PROTOCOL is "http/json": use grpc or http/protobuf`},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp", `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is "udp": use grpc or http/protobuf`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", `OTEL_EXPORTER_OTLP_ENDPOINT is "127.0.0.1:4317": use a URL such as http://localhost:4318`},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318", `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "localhost:4318": use a URL such as http://localhost:4318`},
		{"OTEL_TRACES_SAMPLER", "sometimes", `OTEL_TRACES_SAMPLER is "sometimes": use always_on, always_off or traceidratio`},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", `OTEL_BSP_MAX_QUEUE_SIZE is "0": use a number from 1`},
		{"OTEL_BSP_SCHEDULE_DELAY", "5s", `OTEL_BSP_SCHEDULE_DELAY is "5s": use a number from 1`},
		{"OTEL_BSP_EXPORT_TIMEOUT", "-1", `OTEL_BSP_EXPORT_TIMEOUT is "-1": use a number from 1`},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many", `OTEL_BSP_MAX_EXPORT_BATCH_SIZE is "many": use a number from 1`},
		{"OTEL_RESOURCE_ATTRIBUTES", "novalue", `read OTEL_RESOURCE_ATTRIBUTES: `},
	} {
		environment(t, map[string]string{test.variable: test.value})
		e, err := New(t.Context(), Options{File: filepath.Join(t.TempDir(), "f")})
		if err == nil || e != nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.variable, test.value, err, test.want)
		}
		t.Setenv(test.variable, "")
	}
}

func TestWrongRatio(t *testing.T) {
	for _, ratio := range []string{"half", "1.5", "-1", "NaN"} {
		environment(t, map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio})
		if _, err := New(t.Context(), Options{}); err == nil {
			t.Errorf("a ratio of %q is taken", ratio)
		}
	}
}

func TestNoSuchFolder(t *testing.T) {
	noLeak(t)
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"})
	_, err := New(t.Context(), Options{File: filepath.Join(t.TempDir(), "no", "such", "folder")})
	if err == nil || !strings.HasPrefix(err.Error(), "open span file: ") {
		t.Errorf("got %v", err)
	}
}

// TestNowhere: without a destination, or told to export none, everything works
// and nothing is written.
func TestNowhere(t *testing.T) {
	noLeak(t)
	file := filepath.Join(t.TempDir(), "f")
	for _, test := range []struct {
		variables map[string]string
		options   Options
	}{
		{nil, Options{}},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, Options{File: file}},
		{map[string]string{"OTEL_SDK_DISABLED": "true"}, Options{File: file}},
	} {
		environment(t, test.variables)
		e := newExporter(t, test.options)
		x := e.StartExperiment("x")
		e.Adopt(labNetns, x.StartLeg("y"))
		tellAll(t, e)
		x.End(nil)
		shutdown(t, e)
		if e.Dropped() != 0 || e.Failed() != 0 || len(e.timeWaits.open) != 0 {
			t.Errorf("%v: dropped %d, failed %d, %d open", test.variables, e.Dropped(), e.Failed(), len(e.timeWaits.open))
		}
		for name := range test.variables {
			t.Setenv(name, "")
		}
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file was made: %v", err)
	}
}

func TestPasswordStaysOutOfTheLog(t *testing.T) {
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:secret@backend"})
	s, err := readSettings(os.Getenv, 0)
	if err != nil || s.networkName() != "http/protobuf https://me:xxxxx@backend" {
		t.Errorf("%q, %v", s.networkName(), err)
	}
}

// TestSmallQueue: a batch that is larger than the queue would never be full.
func TestSmallQueue(t *testing.T) {
	environment(t, map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "16"})
	s, err := readSettings(os.Getenv, 0)
	if err != nil || s.queue != 16 || s.batch != 16 || s.delay != 5*time.Second || s.timeout != 30*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOTLPByNameMeansTheNetwork(t *testing.T) {
	environment(t, map[string]string{"OTEL_TRACES_EXPORTER": "OTLP"})
	s, err := readSettings(os.Getenv, 0)
	if err != nil || !s.network || s.networkName() != "http/protobuf localhost" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestFileIsAppendedTo: a second run adds to the first one's, one line for each
// export, with ids in hexadecimal as OTLP/JSON has them.
func TestFileIsAppendedTo(t *testing.T) {
	environment(t, nil)
	file := filepath.Join(t.TempDir(), "spans.otlp.jsonl")
	for range 2 {
		e := newExporter(t, Options{File: file})
		client().tell(t, e.Accept)
		shutdown(t, e)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fact := connectionOf(t, client())
	id, span, _ := Identity(&fact)
	for _, line := range bytes.SplitAfter(content, []byte("\n"))[:2] {
		for _, want := range []string{`{"resourceSpans":[{"resource":`,
			`"traceId":"` + id.String() + `"`, `"spanId":"` + span.String() + `"`} {
			if !bytes.Contains(line, []byte(want)) {
				t.Errorf("line %s lacks %s", line, want)
			}
		}
	}
	if n := bytes.Count(content, []byte("\n")); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

// TestFullDisk: every span counts as failed, the log says it once, and the SDK
// does not print it as well.
func TestFullDisk(t *testing.T) {
	environment(t, nil)
	printed := otel.GetErrorHandler()
	defer otel.SetErrorHandler(printed)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.Errorf("the SDK prints %v", err) }))
	log := &lines{}
	e := newExporter(t, Options{File: "/dev/full", Logger: slog.New(slog.NewTextHandler(log, nil))})
	client().tell(t, e.Accept)
	shutdown(t, e)
	if e.Failed() != 1 || log.count("no space left on device") != 1 {
		t.Errorf("failed %d, log %s", e.Failed(), log)
	}
}

func TestAfterShutdown(t *testing.T) {
	environment(t, nil)
	var e *Exporter
	spans := exported(t, func(x *Exporter) { e = x; client().tell(t, e.Accept) })
	client().tell(t, e.Accept)
	if e.Dropped() != 1 || len(spans) != 1 {
		t.Errorf("dropped %d, %d spans; want 1 and 1", e.Dropped(), len(spans))
	}
	shutdown(t, e) // a second time is harmless
}

func TestOutageWarnsOnce(t *testing.T) {
	log := &lines{}
	o := outage{log: slog.New(slog.NewTextHandler(log, nil)), destination: "there"}
	for range 5 {
		o.note(os.ErrDeadlineExceeded)
	}
	o.last = o.last.Add(-2 * warnEvery)
	o.note(os.ErrDeadlineExceeded) // hours later the same outage
	o.note(nil)
	o.last = o.last.Add(2 * warnEvery)
	o.note(os.ErrDeadlineExceeded) // flaps within the minute
	if log.count("level=WARN") != 1 || log.count("level=INFO") != 1 {
		t.Errorf("want one warning and one all-clear:\n%s", log)
	}
	o.last = o.last.Add(-2 * warnEvery)
	o.note(os.ErrDeadlineExceeded)
	if log.count("level=WARN") != 2 {
		t.Errorf("the second outage was never warned of:\n%s", log)
	}
}

// BenchmarkAccept is a connection's way into a full queue and out of it again:
// the collector's goroutine, without the encoding.
func BenchmarkAccept(b *testing.B) {
	environment(b, nil)
	e := newExporter(b, Options{File: os.DevNull})
	e.pipes[0].queue.maxSpans = 0 // drop at the queue's door
	c := connectionOf(b, client())
	b.ReportAllocs()
	for b.Loop() {
		c.InitialLocal++
		e.Accept(&c)
	}
}

// BenchmarkFile is the whole way to a file, on all cores; one that waits for
// the queue, so that nothing is dropped.
func BenchmarkFile(b *testing.B) {
	environment(b, nil)
	e := newExporter(b, Options{File: os.DevNull})
	c := connectionOf(b, client())
	p := e.pipes[0]
	b.ReportAllocs()
	for b.Loop() {
		for p.waiting() > p.queue.maxSpans/2 {
			time.Sleep(time.Millisecond)
		}
		c.InitialLocal++
		e.Accept(&c)
	}
	shutdown(b, e)
	if e.Dropped()+e.Failed() > 0 {
		b.Fatalf("dropped %d, failed %d", e.Dropped(), e.Failed())
	}
}
