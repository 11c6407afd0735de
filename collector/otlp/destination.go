package otlp

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// openPipes opens the destinations: the file, the endpoint, both or neither.
// The ones opened are closed again when another cannot be.
func openPipes(ctx context.Context, file string, s settings, h header, log *slog.Logger) ([]*pipe, error) {
	var pipes []*pipe
	add := func(name string, client otlptrace.Client) error {
		if err := client.Start(ctx); err != nil {
			return err
		}
		pipes = append(pipes, newPipe(client, name, s, h, log))
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

// networkClient is an official client, configured by the environment. gRPC's own
// pause between two attempts to connect grows to two minutes otherwise, and a
// backend that is back would wait for that.
func (s *settings) networkClient() otlptrace.Client {
	if s.protocol != "grpc" {
		return otlptracehttp.NewClient()
	}
	reconnect := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 20 * time.Second}
	reconnect.Backoff.MaxDelay = longestPause
	return otlptracegrpc.NewClient(otlptracegrpc.WithDialOption(grpc.WithConnectParams(reconnect)))
}

// networkName is what a warning calls the endpoint, without a password in it.
func (s *settings) networkName() string {
	u, err := url.Parse(s.endpoint)
	if err != nil || s.endpoint == "" {
		return s.protocol + " localhost"
	}
	return s.protocol + " " + u.Redacted()
}
