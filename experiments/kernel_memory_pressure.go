package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"brink/collector/limits"
)

// pressurePages is how many pages beyond those in use bring a machine made for it
// under pressure: so many that what a step adds (one connection, and the pages
// that each CPU keeps at hand since 6.0, SK_MEMORY_PCPU_RESERVE) hardly counts.
const pressurePages = 1 << 14

// memoryPressure fills connections, in the end one after the other, until the
// kernel says that it is too much: from then on buffers shrink, and no call fails
// yet.
func memoryPressure(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    "pressure",
		Limit:   limits.TCPMemory,
		Prepare: prepareFull(f, at),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictPressure(ctx) },
		Push:    func(ctx context.Context, b *Bench) (Measurement, error) { return b.pushPressure(ctx, at) },
	}
}

func (b *Bench) predictPressure(ctx context.Context) (Prediction, error) {
	thresholds, err := tcpMem.numbers()
	if err != nil {
		return Prediction{}, err
	}
	if len(thresholds) != 3 {
		return Prediction{}, fmt.Errorf("%s has %d numbers, not three", tcpMem, len(thresholds))
	}
	pressure := thresholds[1]
	if b.Size.HostWide {
		used, err := b.tcpPages(ctx)
		if err != nil {
			return Prediction{}, err
		}
		pressure = used + pressurePages
	}
	b.note("pressure", pressure)
	return Prediction{
		Value: pressure, Unit: "pages", Formula: "tcp_mem[1]", Inputs: []Input{{"tcp_mem[1]", pressure}},
		Apart: true, Within: memoryWithin,
	}, nil
}

func (b *Bench) pushPressure(ctx context.Context, at netip.AddrPort) (m Measurement, err error) {
	if b.mode != nil && b.mode("tcp_memory") == "tracepoint" {
		return m, skipf("on the tracepoint rung the kernel does not tell when pressure begins")
	}
	pressure := b.Notes["pressure"]
	back, err := tcpMem.set(b, fmt.Sprint(pressure/2, pressure, 4*pressure))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, back()) }()
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return m, err
	}
	// most of it at once, the rest in the smallest steps there are
	step := (pressure - int(before["TCP.mem"])) * 3 / 4 / (2 * bufferBytes / os.Getpagesize())
	for ; m.Refusals == 0 && m.Value < 2*pressure && m.Problem == ""; step = 1 {
		one, err := b.openFull(ctx, at, step)
		if err != nil {
			return m, err
		}
		now, err := b.Lab.Counters(ctx)
		if err != nil {
			return m, err
		}
		one.Findings = nil // the same each time
		m = m.plus(one)
		m.Value = int(now["TCP.mem"])
		m.Refusals = int(now["TcpExt.TCPMemoryPressures"] - before["TcpExt.TCPMemoryPressures"])
	}
	return m, nil
}

// tcpPages are those that the buffers of all TCP sockets of the host take.
func (b *Bench) tcpPages(ctx context.Context) (int, error) {
	counters, err := b.Lab.Counters(ctx)
	return int(counters["TCP.mem"]), err
}
