package lab

import "context"

var (
	fill         = define("fill sockets", (*inside).fill)
	bufferMemory = define("read the sockets' memory", (*inside).bufferMemory)
)

// Fill writes to connected sockets until no more fits, and says how many bytes
// that was. If the peers do not read, their receive buffers are full then, too.
func (w *Worker) Fill(ctx context.Context, s Sockets) (bytes int, err error) {
	return fill.call(ctx, w.member.control, s)
}

// BufferMemory is what the buffers of sockets take, in bytes as the kernel counts
// them: with what surrounds the data (sk_buff's truesize).
type BufferMemory struct {
	Receive int // what has been received and not been read
	Send    int // what has been written and not been acknowledged
	Forward int // taken from tcp_mem's pages for what comes next
}

// BufferMemory adds up the buffers of every connection of the worker, accepted
// ones too (SO_MEMINFO, 4.12).
func (w *Worker) BufferMemory(ctx context.Context) (BufferMemory, error) {
	return bufferMemory.call(ctx, w.member.control, none{})
}

// Total is all of it.
func (m BufferMemory) Total() int { return m.Receive + m.Send + m.Forward }
