package otlp

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Resource is who exports, spans and metrics alike: brink on this host, unless
// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, which come last and win, say
// otherwise.
func Resource(ctx context.Context, version string) (*resource.Resource, error) {
	who := []attribute.KeyValue{attribute.String("service.name", "brink")}
	if version != "" {
		who = append(who, attribute.String("service.version", version))
	}
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(who...),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}
