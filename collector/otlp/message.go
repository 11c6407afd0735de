package otlp

import (
	"context"

	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// header is what all messages say first: who exports, and by what.
type header struct {
	resource *resourcepb.Resource
	schema   string
	scope    *commonpb.InstrumentationScope
}

func newHeader(ctx context.Context, version string) (h header, err error) {
	r, err := Resource(ctx, version)
	if err != nil {
		return h, err
	}
	return header{
		resource: encodeResource(r),
		schema:   r.SchemaURL(),
		scope:    &commonpb.InstrumentationScope{Name: "brink", Version: version},
	}, nil
}

func encodeResource(r *resource.Resource) *resourcepb.Resource {
	const fieldResourceAttributes protowire.Number = 1
	a := attributes{field: fieldResourceAttributes}
	for _, kv := range r.Attributes() {
		a.keyValue(kv)
	}
	encoded := &resourcepb.Resource{}
	encoded.ProtoReflect().SetUnknown(a.wire)
	return encoded
}

// message is what a client sends: protobuf's structures for the few fields
// around the spans, and in them the spans as they were encoded. protobuf calls
// such bytes unknown fields and sends them on as they are.
type message struct {
	resourceSpans []*tracepb.ResourceSpans
	scopeSpans    *tracepb.ScopeSpans
	wire          []byte // reused: no client keeps it
}

func (h header) message() message {
	s := &tracepb.ScopeSpans{Scope: h.scope}
	return message{
		scopeSpans: s,
		resourceSpans: []*tracepb.ResourceSpans{{
			Resource: h.resource, SchemaUrl: h.schema, ScopeSpans: []*tracepb.ScopeSpans{s},
		}},
	}
}

// of is the message of a batch, valid until the next call.
func (m *message) of(b *batch) []*tracepb.ResourceSpans {
	m.wire = m.wire[:0]
	for _, s := range b.spans {
		m.wire = append(m.wire, s...)
	}
	m.scopeSpans.ProtoReflect().SetUnknown(m.wire)
	return m.resourceSpans
}
