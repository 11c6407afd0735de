package otlp

// rank is how dear a span is. Where room is wanted, the lowest rank gives way
// first and within a rank the oldest; where there is something to send, the
// highest rank goes first.
type rank uint8

const (
	rankConnection rank = iota // and its TIME_WAIT
	rankFailure                // a connection that failed: there may be as many of them
	rankRefusal                // limit hits, bind conflicts, an experiment's own
	ranks
)

// encoded is a span as it stands in a message of OTLP (see encoder). It is
// never changed, so that several destinations share one.
type encoded []byte

// queue is what waits for one destination, bounded twice: by spans and by bytes.
// What is being sent counts as waiting until it has arrived.
type queue struct {
	waiting            [ranks]ring[encoded]
	spans, bytes       int
	maxSpans, maxBytes int
	dropped            uint64
}

// push adds a span and drops what it has no room beside, itself if all that
// waits is dearer or being sent.
func (q *queue) push(s encoded, r rank) {
	for q.spans+1 > q.maxSpans || q.bytes+len(s) > q.maxBytes {
		if !q.dropUpTo(r) {
			q.dropped++
			return
		}
	}
	q.spans++
	q.bytes += len(s)
	q.waiting[r].pushBack(s)
}

// dropUpTo drops the oldest span of the lowest rank, if it is not above r.
func (q *queue) dropUpTo(r rank) bool {
	for i := range r + 1 {
		if q.waiting[i].count > 0 {
			q.forget(q.waiting[i].popFront())
			q.dropped++
			return true
		}
	}
	return false
}

// forget ends a span's waiting.
func (q *queue) forget(s encoded) {
	q.spans--
	q.bytes -= len(s)
}

// batch is what is sent together: the dearest first, within a rank the oldest.
type batch struct {
	spans []encoded
	of    []rank // each one's
	bytes int
}

// take fills a batch with at most so many spans and bytes (but one span at
// least). They go on waiting until done or giveBack.
func (q *queue) take(b *batch, maxSpans, maxBytes int) {
	b.spans, b.of, b.bytes = b.spans[:0], b.of[:0], 0
	for r := ranks; r > 0; r-- {
		waiting := &q.waiting[r-1]
		for waiting.count > 0 && len(b.spans) < maxSpans {
			size := len(*waiting.slot(0))
			if b.bytes+size > maxBytes && b.bytes > 0 {
				return
			}
			b.spans, b.of = append(b.spans, waiting.popFront()), append(b.of, r-1)
			b.bytes += size
		}
	}
}

// done: a batch has left, or nobody wants it.
func (q *queue) done(b *batch) {
	for _, s := range b.spans {
		q.forget(s)
	}
	clear(b.spans)
}

// giveBack puts a batch back to where it was taken from.
func (q *queue) giveBack(b *batch) {
	for i := len(b.spans) - 1; i >= 0; i-- {
		q.waiting[b.of[i]].pushFront(b.spans[i])
	}
	clear(b.spans)
}

// clear drops all that waits.
func (q *queue) clear() {
	for q.dropUpTo(ranks - 1) {
	}
}
