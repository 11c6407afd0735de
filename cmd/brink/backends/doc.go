// Package backends gets and starts what a fleet keeps brink's telemetry in, for
// tests: no mocks, but Jaeger, an OpenTelemetry Collector and Prometheus.
//
//	Go module proxy ─→ go build ────────────────┐
//	Debian's archive ─→ apt-get download, dpkg ─┴→ cache ─→ Start… ─→ API
//
// Each is made once for each version, in brink/backends below the user's cache
// folder ($BRINK_BACKENDS_CACHE elsewhere), and installed nowhere. One that runs
// has a loopback address of its own, so that it has its usual ports there and
// many can run side by side; it ends with the test.
//
// Only tests may import it.
package backends
