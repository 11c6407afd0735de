package otlp

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"brink/collector"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Options is what the standard OTEL_* variables do not say. They decide about
// everything else: see New.
type Options struct {
	// File is where spans go as lines of OTLP/JSON: besides the endpoint if
	// the environment configures one, alone if not. Empty: to no file.
	File           string
	ServiceVersion string
	Logger         *slog.Logger // nil: slog.Default()
}

// Exporter makes spans of facts and sends them off. It implements
// collector.Sink; all its methods may be called from any goroutine.
type Exporter struct {
	tracer trace.Tracer
	pipes  []*pipe

	mu         sync.Mutex // guards what follows
	attributes attributes // reused for each fact
	last       ended
	timeWaits  timeWaits
	legs       map[uint32]*Span // by the inode number of a network namespace
	late       uint64           // facts that came after Shutdown
	closed     bool
}

// New opens the destinations that Options and the environment name:
//
//	OTEL_TRACES_EXPORTER         otlp, none (nothing leaves, not even to a file)
//	OTEL_EXPORTER_OTLP_ENDPOINT, _TRACES_ENDPOINT, _PROTOCOL (grpc or
//	http/protobuf, the default), _HEADERS, _CERTIFICATE, _COMPRESSION, _TIMEOUT …
//	OTEL_TRACES_SAMPLER, _ARG    refusals and errors are kept whatever it says
//	OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*, OTEL_SDK_DISABLED
//
// An endpoint that does not answer is no error, here or later: see Failed. With
// neither a file nor an endpoint the exporter takes facts and does nothing.
func New(ctx context.Context, o Options) (*Exporter, error) {
	s, err := readSettings(os.Getenv)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		tracer:    noop.NewTracerProvider().Tracer(""),
		timeWaits: newTimeWaits(maxOpenTimeWaits),
		legs:      map[uint32]*Span{},
	}
	if s.disabled || (o.File == "" && !s.network) {
		return e, nil
	}
	if err := e.open(ctx, o, s); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Exporter) open(ctx context.Context, o Options, s settings) error {
	who, err := newResource(ctx, o.ServiceVersion)
	if err != nil {
		return err
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	if e.pipes, err = openPipes(ctx, o.File, s, log); err != nil {
		return err
	}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(who),
		sdktrace.WithSampler(s.sampler),
		sdktrace.WithIDGenerator(generator{}),
	}
	for _, p := range e.pipes {
		options = append(options, sdktrace.WithSpanProcessor(p))
	}
	e.tracer = sdktrace.NewTracerProvider(options...).Tracer(
		"brink", trace.WithInstrumentationVersion(o.ServiceVersion))
	return nil
}

// Accept implements collector.Sink. It never blocks. A StateChange makes no
// span: the connection's own has its states.
func (e *Exporter) Accept(f collector.Fact) {
	if len(e.pipes) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.late++
		return
	}
	switch f := f.(type) {
	case *collector.Connection:
		e.connection(f)
	case *collector.LimitHit:
		e.limitHit(f)
	case *collector.BindConflict:
		e.bindConflict(f)
	case *collector.TimeWait:
		e.timeWait(f)
	}
}

// Dropped counts the spans that were not made or not queued, for want of room:
// each one once for each destination it did not go to. Facts that come after
// Shutdown count too.
func (e *Exporter) Dropped() uint64 {
	e.mu.Lock()
	n := e.late + e.timeWaits.dropped
	e.mu.Unlock()
	for _, p := range e.pipes {
		n += p.dropped.Load()
	}
	return n
}

// Failed counts the spans in exports that a destination did not take.
func (e *Exporter) Failed() uint64 {
	var n uint64
	for _, p := range e.pipes {
		n += p.failed.Load()
	}
	return n
}
