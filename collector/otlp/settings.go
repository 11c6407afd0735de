package otlp

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The defaults of OTEL_BSP_*. The specification's queue of 2,048 is full after
// 40 ms of 50,000 connections a second; this one after 1.3 s. It takes some 50 MB
// then, and never more than maxQueueBytes, for which there is no variable.
const (
	defaultQueue   = 1 << 16
	defaultBatch   = 1 << 10
	defaultDelay   = 5_000  // ms
	defaultTimeout = 30_000 // ms
	maxQueueBytes  = 64 << 20
)

// settings is what the OTEL_* variables say, as far as brink reads them itself.
// Headers, TLS, compression and OTEL_EXPORTER_OTLP_TIMEOUT are read by the
// clients, resource attributes by the SDK's resource.
type settings struct {
	disabled bool   // nothing is to be exported at all
	network  bool   // an endpoint is configured, or OTLP is asked for by name
	endpoint string // as configured; empty means the exporter's default
	protocol string
	ratio    float64
	queue    int // spans
	batch    int // spans
	delay    time.Duration
	timeout  time.Duration // of one export
}

type getenv func(string) string

func readSettings(env getenv, defaultRatio float64) (s settings, err error) {
	if err = s.readExporter(env); err != nil || s.disabled {
		return s, err
	}
	if err = s.readEndpoint(env); err != nil {
		return s, err
	}
	if defaultRatio == 0 {
		defaultRatio = 1
	}
	s.ratio, err = readRatio(env.word("OTEL_TRACES_SAMPLER"), env("OTEL_TRACES_SAMPLER_ARG"), defaultRatio)
	if err != nil {
		return s, err
	}
	return s, s.readBatching(env)
}

func (s *settings) readBatching(env getenv) (err error) {
	if s.queue, err = env.count("OTEL_BSP_MAX_QUEUE_SIZE", defaultQueue); err != nil {
		return err
	}
	if s.batch, err = env.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", defaultBatch); err != nil {
		return err
	}
	s.batch = min(s.batch, s.queue)
	if s.delay, err = env.milliseconds("OTEL_BSP_SCHEDULE_DELAY", defaultDelay); err != nil {
		return err
	}
	s.timeout, err = env.milliseconds("OTEL_BSP_EXPORT_TIMEOUT", defaultTimeout)
	return err
}

// readExporter reads whether to export. An explicit "otlp" means the network
// also without an endpoint, at the standard's default one on this host.
func (s *settings) readExporter(env getenv) error {
	s.disabled = env.word("OTEL_SDK_DISABLED") == "true"
	switch name := env.word("OTEL_TRACES_EXPORTER"); name {
	case "":
	case "otlp":
		s.network = true
	case "none":
		s.disabled = true
	default:
		return fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", name)
	}
	return nil
}

func (s *settings) readEndpoint(env getenv) error {
	name, value := env.either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch s.protocol = value; value {
	case "":
		s.protocol = "http/protobuf" // the specification's default
	case "grpc", "http/protobuf":
	default:
		return fmt.Errorf("%s is %q: use grpc or http/protobuf", name, value)
	}
	name, s.endpoint = env.either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if s.endpoint == "" {
		return nil
	}
	s.network = true
	return checkEndpoint(name, s.endpoint, s.protocol)
}

// checkEndpoint refuses what the exporters would log and replace by localhost.
func checkEndpoint(name, value, protocol string) error {
	u, err := url.Parse(value)
	if err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return nil
	}
	if err == nil && protocol == "grpc" && u.Scheme == "unix" {
		return nil
	}
	return fmt.Errorf("%s is %q: use a URL such as http://localhost:4318", name, value)
}

// word is the value of a variable that has a fixed set of values, which the
// specification says are not case-sensitive.
func (env getenv) word(name string) string {
	return strings.ToLower(strings.TrimSpace(env(name)))
}

// either is the first variable that is set, and its value. Empty is unset.
func (env getenv) either(names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(env(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

func (env getenv) count(name string, otherwise int) (int, error) {
	value := strings.TrimSpace(env(name))
	if value == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s is %q: use a number from 1", name, value)
	}
	return n, nil
}

func (env getenv) milliseconds(name string, otherwise int) (time.Duration, error) {
	n, err := env.count(name, otherwise)
	return time.Duration(n) * time.Millisecond, err
}
