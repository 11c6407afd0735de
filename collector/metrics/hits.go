package metrics

import (
	"maps"
	"sync"
	"time"

	"brink/collector"
	"brink/collector/limits"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"
)

// Hits is a sink that counts what each limit has refused. Nothing is counted
// twice: what a storm kept from being told one by one is told in sums, and where
// no hook tells, a counter of the kernel's does.
type Hits struct {
	// Identify gives the context of a refusal's span, for exemplars; nil: there
	// are none.
	Identify func(collector.Fact) trace.SpanContext

	mu   sync.Mutex
	hits map[hitKey]*hit
}

type hitKey struct {
	limit limits.Limit
	netns uint32
	errno unix.Errno
}

type hit struct {
	count     uint64
	exemplars []metricdata.Exemplar[int64] // the newest last
}

const (
	// mostHits bounds the keys; what is beyond counts for the limit alone.
	mostHits = 1 << 13
	// mostExemplars of one series: a backend shows a few.
	mostExemplars = 2
)

// Accept implements collector.Sink.
func (h *Hits) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.LimitHit:
		h.count(f, hitKey{f.Limit, f.Netns, f.Errno}, max(f.Count, 1), f.Time)
	case *collector.BindConflict:
		h.count(f, hitKey{limits.BindConflict, f.Netns, f.Errno}, 1, f.Time)
	}
}

func (h *Hits) count(f collector.Fact, key hitKey, n uint64, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hits == nil {
		h.hits = map[hitKey]*hit{}
	}
	x := h.hits[key]
	if x == nil && len(h.hits) >= mostHits {
		key.netns, key.errno = 0, 0
		x = h.hits[key]
	}
	if x == nil {
		x = &hit{}
		h.hits[key] = x
	}
	x.count += n
	if h.Identify == nil {
		return
	}
	if is := h.Identify(f); is.IsValid() {
		id, span := is.TraceID(), is.SpanID()
		x.exemplars = append(x.exemplars[max(0, len(x.exemplars)-mostExemplars+1):],
			metricdata.Exemplar[int64]{Time: at, Value: int64(n), TraceID: id[:], SpanID: span[:]})
	}
}

// Forget drops the counts of namespaces that are gone.
func (h *Hits) Forget(netns uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.hits, func(k hitKey, _ *hit) bool { return k.netns == netns })
}

func (h *Hits) collect(b *batch, names *Namespaces) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, x := range h.hits {
		attributes := append(names.of(key.netns), attribute.String(collector.KeyLimit, key.limit.String()))
		if key.errno != 0 {
			attributes = append(attributes, attribute.String(collector.KeyErrorType, collector.ErrorType(key.errno)))
		}
		b.add(&limitHits, point{n: int64(x.count), exemplars: append([]metricdata.Exemplar[int64](nil), x.exemplars...)}, attributes...)
	}
}
