package experiments

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"brink/collector/limits"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

func TestPredictModel(t *testing.T) {
	for _, row := range []struct {
		name             string
		model            string
		tasks, running   uint64
		descriptors, fds uint64
		value            int
		errno            syscall.Errno
	}{
		{"tasks run out", threadModel, 128, 21, 256, 10, 107, syscall.EAGAIN},
		{"none left", threadModel, 20, 21, 256, 10, 0, syscall.EAGAIN},
		{"descriptors run out", threadModel, 128, 21, 64, 10, 54, syscall.EMFILE},
		{"both at once: accept4 comes first", threadModel, 128, 28, 110, 10, 100, syscall.EMFILE},
		{"unlimited", threadModel, unix.RLIM_INFINITY, 21, 64, 10, 54, syscall.EMFILE},
		{"no task each", goroutineModel, 20, 20, 64, 10, 54, syscall.EMFILE},
		{"nor here", loopModel, 20, 20, 64, 11, 53, syscall.EMFILE},
	} {
		p := predictModel(row.model, modelSettings{
			Tasks: taskLimit{Limit: row.tasks, Running: row.running}, Descriptors: lab.Descriptors{Limit: row.descriptors, Open: row.fds},
		})
		equal(t, row.name, p.Value, row.value)
		equal(t, row.name+": errno", p.Errno, row.errno)
	}
}

func TestPredictThread(t *testing.T) {
	for _, row := range []struct{ page, stack, want int }{
		{4096, 8 << 20, 8192}, {4096, 2 << 20, 8192}, {4096, 1 << 20, 6144}, {4096, 1 << 16, 4224}, {65536, 8 << 20, 66560},
	} {
		equal(t, "bytes a thread", predictThread(row.page, row.stack).Value, row.want)
	}
}

func TestModelsInOrder(t *testing.T) {
	for _, row := range []struct {
		thread, goroutine, loop int // bytes
		threads, others         int // tasks
		want                    string
	}{
		{24000, 4000, 500, 300, 2, ""},
		{24000, 4000, 500, 299, 2, "thread per connection: 299 tasks more for 300 connections"},
		{24000, 4000, 500, 300, 300, "goroutine per connection: 300 tasks more for 300 connections"},
		{4000, 4000, 500, 300, 0, "predicted more memory a connection for thread per connection than for goroutine per connection"},
		{24000, 400, 500, 300, 0, "predicted more memory a connection for goroutine per connection than for event loop, measured 400 and 500"},
	} {
		got := modelsInOrder(map[string]int{
			threadModel + ": memory": row.thread, goroutineModel + ": memory": row.goroutine, loopModel + ": memory": row.loop,
			threadModel + ": tasks": row.threads, goroutineModel + ": tasks": row.others, loopModel + ": tasks": row.others,
		}, 300)
		if !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

// TestModelLimits: other limits, and prediction and measurement change together.
// How much a worker has open before is its own affair.
func TestModelLimits(t *testing.T) {
	needOwnUser(t)
	for _, row := range []struct {
		model       string
		limits      [2]uint64 // before the other is near
		descriptors bool      // what is changed, else tasks
		errno       string
	}{
		{threadModel, [2]uint64{64, 81}, false, "EAGAIN"},
		{threadModel, [2]uint64{40, 57}, true, "EMFILE"},
		{goroutineModel, [2]uint64{40, 57}, true, "EMFILE"},
		{loopModel, [2]uint64{40, 57}, true, "EMFILE"},
	} {
		var values [2]int
		for i, limit := range row.limits {
			leg := untilRefused(row.model, limits.Threads, limit, 512)
			if row.descriptors {
				leg = untilRefused(row.model, limits.FileDescriptors, 512, limit)
			}
			r := run(t, noKernel(), oneLeg(leg))
			judged(t, row.model, r, Inconclusive, withoutEvidence)
			equal(t, row.model+": measured", r.Measured.Value, r.Predicted.Value)
			equal(t, row.model+": errno", r.Measured.Errno, row.errno)
			values[i] = r.Measured.Value
		}
		// a runtime that is prepared has a thread more or less
		if more := values[1] - values[0]; more < 15 || more > 19 || row.descriptors && more != 17 {
			t.Errorf("%s: %d more connections for 17 more", row.model, more)
		}
	}
}

// lowered changes a limit of a worker by so much.
var lowered = lab.DefineProgram("test: lower a limit", func(by [2]int) (struct{}, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(by[0], &limit)
	limit.Cur -= uint64(by[1])
	return struct{}{}, errors.Join(err, unix.Setrlimit(by[0], &limit))
})

// TestModelBehindItsBack: limits that move after the prediction are found out.
func TestModelBehindItsBack(t *testing.T) {
	needOwnUser(t)
	for resource, model := range map[int]string{
		unix.RLIMIT_NPROC: threadModel, unix.RLIMIT_NOFILE: goroutineModel,
	} {
		var predicted Prediction
		leg := untilRefused(model, limits.Threads, 64, 128)
		predict := leg.Predict
		leg.Predict = func(ctx context.Context, b *Bench) (p Prediction, err error) {
			if predicted.Value > 0 {
				return predicted, nil
			}
			p, err = predict(ctx, b)
			predicted = p
			_, lower := lowered.Run(ctx, b.Server, [2]int{resource, 3})
			return p, errors.Join(err, lower)
		}
		r := run(t, noKernel(), oneLeg(leg))
		equal(t, model, r.Verdict, Refuted)
		equal(t, model+": measured", r.Measured.Value, predicted.Value-3)
	}
}

// TestModelCosts: one side's memory can be seen, and is not another's.
func TestModelCosts(t *testing.T) {
	r := run(t, noKernel(), oneLeg(sideBySide(100)))
	judged(t, "side by side", r, Inconclusive, withoutEvidence)
	equal(t, "findings", len(r.Findings), 6)
	equal(t, "connections", r.Measured.Value, 300)
}

func TestKernelStack(t *testing.T) {
	stack := must(kernelStack())(t)
	if page := os.Getpagesize(); stack < page || stack > 16*page || stack%page != 0 {
		t.Errorf("a kernel stack has %d bytes", stack)
	}
}

// needOwnUser leaves a test out where a lab's process cannot become another user.
func needOwnUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out: becoming another user takes root")
	}
}
