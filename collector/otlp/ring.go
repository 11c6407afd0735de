package otlp

// ring is a queue with two ends. It grows as needed and does not shrink.
type ring[T any] struct {
	items []T // their number is a power of two
	first int
	count int
}

func (r *ring[T]) slot(i int) *T { return &r.items[(r.first+i)&(len(r.items)-1)] }

// pushBack adds the newest.
func (r *ring[T]) pushBack(item T) {
	r.grow()
	*r.slot(r.count) = item
	r.count++
}

// pushFront gives back what was the oldest.
func (r *ring[T]) pushFront(item T) {
	r.grow()
	r.first = (r.first + len(r.items) - 1) & (len(r.items) - 1)
	r.count++
	*r.slot(0) = item
}

// popFront takes the oldest; there has to be one.
func (r *ring[T]) popFront() (item T) {
	oldest := r.slot(0)
	item, *oldest = *oldest, item
	r.first = (r.first + 1) & (len(r.items) - 1)
	r.count--
	return item
}

func (r *ring[T]) grow() {
	if r.count < len(r.items) {
		return
	}
	larger := make([]T, max(16, 2*len(r.items)))
	n := copy(larger, r.items[r.first:])
	copy(larger[n:], r.items[:r.first])
	r.items, r.first = larger, 0
}
