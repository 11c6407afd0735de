package otlp

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// item is a span of a size that says which one it is.
func item(n, size int) encoded {
	return binary.BigEndian.AppendUint32(make(encoded, 0, size), uint32(n))[:size]
}

func numbers(spans []encoded) (all []int) {
	for _, s := range spans {
		all = append(all, int(binary.BigEndian.Uint32(s)))
	}
	return all
}

// TestQueueDropsTheOldestAndCheapest by hand.
func TestQueueDropsTheOldestAndCheapest(t *testing.T) {
	q := queue{maxSpans: 4, maxBytes: 1000}
	for n, r := range []rank{rankConnection, rankRefusal, rankConnection, rankFailure} {
		q.push(item(n, 10), r)
	}
	q.push(item(4, 10), rankConnection) // instead of 0
	q.push(item(5, 10), rankRefusal)    // instead of 2
	q.push(item(6, 10), rankFailure)    // instead of 4
	q.push(item(7, 10), rankConnection) // nothing is cheaper
	q.push(item(8, 10), rankRefusal)    // instead of 3
	var b batch
	q.take(&b, 10, 1000)
	if got := numbers(b.spans); !slices.Equal(got, []int{1, 5, 8, 6}) || q.dropped != 5 {
		t.Errorf("left %v, dropped %d; want [1 5 8 6], 5", got, q.dropped)
	}
	q.push(item(9, 10), rankRefusal)
	if q.dropped != 6 || q.spans != 4 {
		t.Errorf("dropped %d, %d wait: what is being sent was pushed out", q.dropped, q.spans)
	}
	q.giveBack(&b)
	q.push(item(10, 10), rankRefusal) // instead of 6
	q.take(&b, 3, 1000)
	if got := numbers(b.spans); !slices.Equal(got, []int{1, 5, 8}) {
		t.Errorf("given back and taken again: %v, want [1 5 8]", got)
	}
}

func TestQueueIsBoundedByBytes(t *testing.T) {
	q := queue{maxSpans: 1000, maxBytes: 100}
	for n := range 5 {
		q.push(item(n, 30), rankConnection)
	}
	q.push(item(5, 95), rankConnection)
	q.push(item(6, 101), rankRefusal) // drops all and itself
	if q.spans != 0 || q.bytes != 0 || q.dropped != 7 {
		t.Errorf("%d spans of %d bytes, dropped %d; want 0, 0, 7", q.spans, q.bytes, q.dropped)
	}
}

func TestBatchIsBoundedByBytes(t *testing.T) {
	q := queue{maxSpans: 1000, maxBytes: 1000}
	q.push(item(0, 99), rankConnection)
	q.push(item(1, 8), rankConnection)
	q.push(item(2, 8), rankConnection)
	var b batch
	for _, want := range [][]int{{0}, {1, 2}, nil} {
		q.take(&b, 10, 20)
		if got := numbers(b.spans); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		q.done(&b)
	}
	if q.spans != 0 || q.bytes != 0 {
		t.Errorf("%d spans of %d bytes are left", q.spans, q.bytes)
	}
}

// TestQueueLosesNothing: whatever is done in whatever order, each span is
// waiting, sent or dropped, within the bounds, and each rank's are in order.
func TestQueueLosesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for range 50 {
		q := queue{maxSpans: 1 + random.IntN(40), maxBytes: 20 + random.IntN(600)}
		told, sent, last := 0, 0, [ranks]int{-1, -1, -1}
		push := func() {
			q.push(item(told, 4+random.IntN(30)), rank(random.IntN(int(ranks))))
			told++
		}
		for range 1000 {
			push()
			if random.IntN(10) == 0 {
				var b batch
				q.take(&b, 1+random.IntN(20), 1+random.IntN(200))
				push() // beside what is being sent
				if random.IntN(2) == 0 {
					q.giveBack(&b)
				} else {
					checkOrder(t, &b, &last)
					sent += len(b.spans)
					q.done(&b)
				}
			}
			if got := q.spans + sent + int(q.dropped); got != told {
				t.Fatalf("%d waiting, %d sent, %d dropped: %d, want %d", q.spans, sent, q.dropped, got, told)
			}
			if q.spans > q.maxSpans || q.bytes > q.maxBytes || q.bytes < 0 {
				t.Fatalf("%d spans of %d bytes of at most %d, %d", q.spans, q.bytes, q.maxSpans, q.maxBytes)
			}
		}
		q.clear()
		if q.spans != 0 || q.bytes != 0 {
			t.Fatalf("%d spans of %d bytes are left after clear", q.spans, q.bytes)
		}
	}
}

func checkOrder(t *testing.T, b *batch, last *[ranks]int) {
	t.Helper()
	for i, n := range numbers(b.spans) {
		if r := b.of[i]; n <= last[r] {
			t.Fatalf("rank %d: %d after %d", r, n, last[r])
		} else {
			last[r] = n
		}
	}
}
