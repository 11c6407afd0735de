// Package otlp is the sink that makes OpenTelemetry spans of facts.
//
//	                    ┌ Connection ───→ span, states as its events ┐
//	collector ─ Accept ─┼ LimitHit, BindConflict ─→ span of length 0 ├─ sampler ─┐
//	                    └ TimeWait ─→ open until leave ─→ span ──────┘           │
//	experiments ─ StartExperiment ─→ StartLeg ─→ End ────────────────────────────┤
//	                                                                             │
//	     ┌─────────────────────────── TracerProvider ────────────────────────────┘
//	     ├─→ pipe (bounded, counts) ─→ batch ─→ fileClient ─→ spans.otlp.jsonl
//	     └─→ pipe (bounded, counts) ─→ batch ─→ OTLP over gRPC or HTTP
//
// A span's attributes are the words that the fact's Visit says; nothing is
// renamed here. Its trace ID and span ID come from Identity, so that both ends
// of a connection meet in one trace without anything being sent along.
//
// Accept never blocks and never fails: what a pipe has no room for is dropped
// and counted, what a backend does not take is counted and warned of once.
package otlp
