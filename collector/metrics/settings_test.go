package metrics

import (
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want settings
		err  string
	}{
		{nil, settings{protocol: "http/protobuf"}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"},
			settings{otlp: true, protocol: "http/protobuf", endpoint: "http://a:4318"}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b:4317",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"},
			settings{otlp: true, protocol: "grpc", endpoint: "http://b:4317"}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_METRICS_EXPORTER": "none"},
			settings{protocol: "http/protobuf", endpoint: "http://a:4318"}, ""},
		{map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta"},
			settings{otlp: true, protocol: "http/protobuf", delta: true}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "TRUE"},
			settings{protocol: "http/protobuf", endpoint: "http://a:4318"}, ""},
		{map[string]string{"OTEL_METRICS_EXPORTER": "console"}, settings{}, "OTEL_METRICS_EXPORTER"},
		{map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, settings{}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "x"}, settings{}, "TEMPORALITY"},
	} {
		got, err := readSettings(func(name string) string { return test.env[name] })
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v: error %v, want one about %s", test.env, err, test.err)
			}
			continue
		}
		noError(t, err)
		equal(t, "settings", got, test.want)
	}
	s := settings{protocol: "grpc", endpoint: "http://user:secret@a:4317"}
	equal(t, "no password is logged", s.where(), "grpc http://user:xxxxx@a:4317")
}
