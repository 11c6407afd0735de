package otlp

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"brink/collector"
)

// Options is what the standard OTEL_* variables do not say. They decide about
// everything else: see New.
type Options struct {
	// File is where spans go as lines of OTLP/JSON: besides the endpoint if
	// the environment configures one, alone if not. Empty: to no file.
	File           string
	ServiceVersion string
	Logger         *slog.Logger // nil: slog.Default()
	// DefaultRatio is the share, above 0 and up to 1, of connections to keep
	// where OTEL_TRACES_SAMPLER says nothing. Refusals are kept besides. 0: all.
	DefaultRatio float64
}

// Exporter makes spans of facts and sends them off. It implements
// collector.Sink; all its methods may be called from any goroutine.
type Exporter struct {
	pipes []*pipe
	ratio float64
	bound uint64 // of what is sampled: see Bound

	mu        sync.Mutex // guards what follows
	encoder   encoder    // reused for each span
	last      ended
	timeWaits timeWaits
	legs      map[uint32]*Span // by the inode number of a network namespace
	made      uint64           // spans
	late      uint64           // facts and spans that came after Shutdown
	closed    bool

	sweeper sweeper
}

// New opens the destinations that Options and the environment name:
//
//	OTEL_TRACES_EXPORTER         otlp, none (nothing leaves, not even to a file)
//	OTEL_EXPORTER_OTLP_ENDPOINT, _TRACES_ENDPOINT, _PROTOCOL (grpc or
//	http/protobuf, the default), _HEADERS, _CERTIFICATE, _COMPRESSION, _TIMEOUT …
//	OTEL_TRACES_SAMPLER, _ARG    refusals are kept whatever it says
//	OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*, OTEL_SDK_DISABLED
//
// An endpoint that does not answer is no error, here or later: see Stats. With
// neither a file nor an endpoint the exporter takes facts and does nothing.
func New(ctx context.Context, o Options) (*Exporter, error) {
	s, err := readSettings(os.Getenv, o.DefaultRatio)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		ratio: s.ratio, bound: Bound(s.ratio),
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
	header, err := newHeader(ctx, o.ServiceVersion)
	if err != nil {
		return err
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	if e.pipes, err = openPipes(ctx, o.File, s, header, log); err != nil {
		return err
	}
	e.sweeper.start(e.sweep)
	return nil
}

// Ratio is the share of connections, besides refusals, that are sampled.
func (e *Exporter) Ratio() float64 { return e.ratio }

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
	case *collector.ConnectFailures:
		e.connectFailures(f)
	case *collector.TimeWait:
		e.timeWait(f)
	}
}

// queue hands the span that was encoded to each destination. e.mu is held.
func (e *Exporter) queue(r rank) {
	s := e.encoder.finish()
	e.made++
	for _, p := range e.pipes {
		p.push(s, r)
	}
}
