package lab

import "context"

// Descriptors is a worker's file descriptor table: every open descriptor below
// the limit takes room, the handful that the worker itself needs too.
type Descriptors struct {
	Limit uint64 // RLIMIT_NOFILE, soft
	Open  uint64
}

// Free is how many the worker can still open before EMFILE.
func (d Descriptors) Free() uint64 { return d.Limit - min(d.Open, d.Limit) }

var descriptors = define("descriptors", (*inside).descriptors)

// FreeDescriptors counts the worker's descriptors, exactly, also when the table is full.
func (w *Worker) FreeDescriptors(ctx context.Context) (Descriptors, error) {
	return descriptors.call(ctx, w.member.control, none{})
}
