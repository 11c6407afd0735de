// Package metrics makes OpenTelemetry metrics of what the kernel counts.
//
//	kernel's tallies ──────────────────────┐
//	limits, read now and then ─→ Readings ─┤
//	refusals told ─────────────→ Hits ─────┼─→ Producer ─┬─→ OTLP, periodically
//	brink's own counters and costs ────────┘             └─→ Prometheus, when scraped
//
// One Producer serves both readers, so that both show the same. A collection
// costs no system call for each connection, nor for each namespace: connections
// are tallied in the kernel, and limits are read beside it (Readings).
//
// # Cardinality
//
// The attributes are a namespace, a role, a family, a limit, an error, and the
// host's own listeners. A remote ephemeral port or an address of the open
// internet is none. Of what there may be any number of, only the worst are told.
// An instrument that has more series nevertheless puts those beyond its cap into
// one, with otel.metric.overflow=true, as OpenTelemetry's SDKs do; those that
// were first keep theirs, and nothing is counted twice or forgotten.
package metrics
