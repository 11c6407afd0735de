package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
)

// openPipes opens the destinations: the file, the endpoint, both or neither.
// The ones opened are closed again when another cannot be.
func openPipes(ctx context.Context, file string, s settings, log *slog.Logger) ([]*pipe, error) {
	var pipes []*pipe
	add := func(name string, client otlptrace.Client) error {
		exporter, err := otlptrace.New(ctx, client)
		if err != nil {
			return err
		}
		pipes = append(pipes, newPipe(exporter, name, s, log))
		return nil
	}
	var err error
	if file != "" {
		err = add(file, &fileClient{path: file})
	}
	if err == nil && s.network {
		err = add(s.networkName(), s.networkClient())
	}
	if err != nil {
		return nil, errors.Join(err, shutdownAll(ctx, pipes))
	}
	return pipes, nil
}

// networkClient is an official client, configured by the environment.
func (s *settings) networkClient() otlptrace.Client {
	if s.protocol == "grpc" {
		return otlptracegrpc.NewClient()
	}
	return otlptracehttp.NewClient()
}

// networkName is what a warning calls the endpoint, without a password in it.
func (s *settings) networkName() string {
	u, err := url.Parse(s.endpoint)
	if err != nil || s.endpoint == "" {
		return s.protocol + " localhost"
	}
	return s.protocol + " " + u.Redacted()
}

// newResource says who exports: brink on this host, unless OTEL_SERVICE_NAME
// and OTEL_RESOURCE_ATTRIBUTES, which come last and win, say otherwise.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
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
