package otlp

import (
	"fmt"
	"strconv"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// sampler keeps what its wish says to keep and leaves the rest to OpenTelemetry's
// sampler, which decides by the connection's own trace ID: the same at both ends
// of a connection, and within an experiment's trace for each connection anew.
type sampler struct{ rest sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	w := wishOf(p.ParentContext)
	if w.keep {
		return sdktrace.SamplingResult{
			Decision:   sdktrace.RecordAndSample,
			Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState(),
		}
	}
	if w.trace.IsValid() {
		p.TraceID = w.trace
	}
	return s.rest.ShouldSample(p)
}

// Description implements sdktrace.Sampler.
func (s sampler) Description() string {
	return "KeepRefusals{" + s.rest.Description() + "}"
}

// newSampler is the sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG
// ask for. The parentbased ones are the same as those without: a parent here is
// derived, not received, and has no decision to follow.
func newSampler(name, argument string) (sdktrace.Sampler, error) {
	switch name {
	case "", "always_on", "parentbased_always_on":
		return sampler{sdktrace.AlwaysSample()}, nil
	case "always_off", "parentbased_always_off":
		return sampler{sdktrace.NeverSample()}, nil
	case "traceidratio", "parentbased_traceidratio":
		ratio, err := parseRatio(argument)
		return sampler{sdktrace.TraceIDRatioBased(ratio)}, err
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q: use always_on, always_off or traceidratio", name)
}

func parseRatio(s string) (float64, error) {
	if s == "" {
		return 1, nil // as the specification says
	}
	ratio, err := strconv.ParseFloat(s, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: use a ratio from 0 to 1", s)
	}
	return ratio, nil
}
