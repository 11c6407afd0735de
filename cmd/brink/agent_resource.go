package main

import (
	"os"
	"strings"
)

// completeResource adds k8s.node.name to OTEL_RESOURCE_ATTRIBUTES from the
// downward API's NODE_NAME (spec.nodeName), so that metrics and spans have it.
func completeResource() error {
	const name, key = "OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name="
	node := os.Getenv("NODE_NAME")
	list := os.Getenv(name)
	if node == "" || strings.Contains(list, key) {
		return nil
	}
	return os.Setenv(name, strings.TrimPrefix(list+","+key+node, ","))
}

// defaultSampleRatio of connections has a span in the agent.
const defaultSampleRatio = 0.01

// tracesWanted reports whether spans go anywhere: if not, the kernel programs need
// not tell of any sample.
func tracesWanted(env func(string) string) bool {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch strings.ToLower(env("OTEL_TRACES_EXPORTER")) {
	case "none":
		return false
	case "otlp":
		return true
	}
	return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}
