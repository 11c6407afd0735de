package backends

// What is tested against. A new version is made beside the old one.
const (
	// jaegerModule is the last release with an all-in-one binary of version 1.
	jaegerModule = "github.com/jaegertracing/jaeger@v1.76.0"
	// prometheusSuite is the release of Debian whose Prometheus it is: 2.42.
	prometheusSuite = "bookworm"
	// The Collector's version is in collector/go.mod, as for any Go module.
)
