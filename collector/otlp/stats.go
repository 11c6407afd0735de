package otlp

// Stats counts spans since the start; Queued is of now. With several
// destinations each span counts once for each of them. For these
//
//	Made = Queued + Sent + Failed + Dropped - Unmade
//
// holds at every moment.
type Stats struct {
	Made    uint64 // by facts and experiments, of what is sampled
	Queued  uint64 // wait, or are being sent
	Sent    uint64 // were taken by their destination
	Failed  uint64 // were refused by it: a batch that it took in part, wholly
	Dropped uint64 // found no room or no time; Unmade is part of it
	Unmade  uint64 // facts that no span was made of, for want of room or after Shutdown

	QueuedBytes   uint64 // of encoded spans
	OpenTimeWaits uint64 // tuples in TIME_WAIT, whose spans are made when they leave
	// Away: a destination does not answer. Its spans wait and are sent when it
	// is back, as far as the queue has room for them.
	Away bool
}

// Stats says how the export fares.
func (e *Exporter) Stats() (s Stats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Made = e.made * uint64(len(e.pipes))
	s.Unmade = e.late + e.timeWaits.dropped
	s.Dropped = s.Unmade
	s.OpenTimeWaits = uint64(len(e.timeWaits.open))
	for _, p := range e.pipes {
		p.addTo(&s)
	}
	return s
}

// Dropped counts the spans that were not made or not queued, for want of room:
// each one once for each destination it did not go to. Facts that come after
// Shutdown count too.
func (e *Exporter) Dropped() uint64 { return e.Stats().Dropped }

// Failed counts the spans that a destination did not take.
func (e *Exporter) Failed() uint64 { return e.Stats().Failed }

// addTo adds a destination's figures.
func (p *pipe) addTo(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Queued += uint64(p.queue.spans)
	s.QueuedBytes += uint64(p.queue.bytes)
	s.Sent += p.sent
	s.Failed += p.failed
	s.Dropped += p.queue.dropped
	s.Away = s.Away || p.away
}
