// Package otlp is the sink that makes OpenTelemetry spans of facts.
//
//	                    ┌ Connection ───→ span, states as its events ┐
//	collector ─ Accept ─┼ LimitHit, BindConflict ─→ span of length 0 ├─ sample ─┐
//	                    └ TimeWait ─→ open until leave ─→ span ──────┘          │
//	experiments ─ StartExperiment ─→ StartLeg ─→ End ───────────────────────────┤
//	                                                                            │
//	     ┌─────────────── encoder: OTLP's bytes, once for all ──────────────────┘
//	     ├─→ pipe (queue, batch, counts) ─→ fileClient ─→ spans.otlp.jsonl
//	     └─→ pipe (queue, batch, counts) ─→ OTLP's own client over gRPC or HTTP
//
// A span's attributes are the words that the fact's Visit says; nothing is
// renamed here. Its trace ID and span ID come from Identity, so that both ends
// of a connection meet in one trace without anything being sent along.
//
// Every refusal is kept (see isRefusal), and the ratio of other connections that
// the environment or else Options asks for, decided by the trace ID (see Mixed):
// alike at both ends, and in the kernel programs.
//
// Accept never blocks and never fails. What waits for a backend that is away is
// bounded by OTEL_BSP_MAX_QUEUE_SIZE spans, 65,536 if it is not set, and by
// maxQueueBytes: the oldest connections are dropped first, limit hits last. What
// is dropped, and what a backend refuses, is counted (see Stats) and warned of once.
package otlp
