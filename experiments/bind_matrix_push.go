package experiments

import (
	"context"
	"fmt"
	"slices"

	"brink/experiments/lab"
)

// toldASecond is how many refusals of one process the kernel tells by themselves
// in a second (bpf's storm.h); further ones are summed up, without their holders.
const toldASecond = 100

// push goes through the pairs in as many processes as it takes that each refusal
// is told by itself.
func (r *matrixRun) push(ctx context.Context, b *Bench) (Measurement, error) {
	for _, pairs := range r.chunks() {
		asker, err := b.worker(ctx, lab.WorkerOptions{})
		if err != nil {
			return Measurement{}, err
		}
		answers, err := r.pushChunk(ctx, asker, pairs)
		if err != nil {
			return Measurement{}, err
		}
		r.askers = append(r.askers, slices.Repeat([]*lab.Worker{asker}, len(pairs))...)
		r.answers = append(r.answers, answers...)
	}
	return r.measure(ctx, b)
}

// measure sums up what the kernel answered.
func (r *matrixRun) measure(ctx context.Context, b *Bench) (m Measurement, err error) {
	opened := 0
	for i, p := range r.pairs {
		answer := r.answers[i]
		m.Value += p.count(answer.Refused)
		opened += p.connections(answer.Refused)
		if answer.refused() {
			m.Refusals++
			m.Errno = answer.Errno
		}
	}
	accepted, err := b.awaitServed(ctx, opened)
	m.Endpoints, m.Problem, m.Matrix = opened+accepted, r.disagreements(), r.matrix()
	return m, err
}

// chunks divide the pairs so that no process is refused more often than is told
// by itself, if the prediction is right; if it is not, the leg does not hold.
func (r *matrixRun) chunks() (chunks [][]matrixPair) {
	if !r.bothListen {
		return [][]matrixPair{r.pairs} // nobody asks for the holders
	}
	begin, refusals := 0, 0
	for i, p := range r.pairs {
		if p.refused == granted {
			continue
		}
		if refusals++; refusals > toldASecond {
			chunks = append(chunks, r.pairs[begin:i])
			begin, refusals = i, 1
		}
	}
	return append(chunks, r.pairs[begin:])
}

// pushChunk has the holder make the first sockets, and the asker the second ones.
func (r *matrixRun) pushChunk(ctx context.Context, asker *lab.Worker, pairs []matrixPair) ([]matrixAnswer, error) {
	first, second := make([]matrixWanted, len(pairs)), make([]matrixWanted, len(pairs))
	for i, p := range pairs {
		first[i], second[i] = matrixWanted{p.first, p.port}, matrixWanted{p.second, p.port}
	}
	made, err := openMatrix.Run(ctx, r.holder, first)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(made, matrixAnswer.refused); i >= 0 {
		return nil, fmt.Errorf("port %d is free, and %+v is refused: %w", first[i].Port, first[i].Socket, made[i].Errno)
	}
	answers, err := openMatrix.Run(ctx, asker, second)
	if err != nil {
		return nil, err
	}
	if err := r.listenBoth(ctx, pairs, answers); err != nil {
		return nil, err
	}
	return answers, r.leave(ctx, asker, pairs, answers)
}

// leave keeps the sockets that tell who refused whom, until that has been looked
// into, and closes the others.
func (r *matrixRun) leave(ctx context.Context, asker *lab.Worker, pairs []matrixPair, answers []matrixAnswer) error {
	var keep []uint16
	for i, p := range pairs {
		if r.bothListen && answers[i].refused() {
			keep = append(keep, p.port)
		}
	}
	for _, w := range []*lab.Worker{asker, r.holder} {
		if _, err := leaveMatrix.Run(ctx, w, keep); err != nil {
			return err
		}
	}
	return nil
}

// listenBoth has those first sockets listen that were bound alone and share.
func (r *matrixRun) listenBoth(ctx context.Context, pairs []matrixPair, answers []matrixAnswer) error {
	var ports []uint16
	for i, p := range pairs {
		if !answers[i].refused() && slices.Contains(p.steps, atBothBound) {
			ports = append(ports, p.port)
		}
	}
	listened, err := listenMatrix.Run(ctx, r.holder, ports)
	if err != nil {
		return err
	}
	for i, port := range ports {
		answers[port-pairs[0].port] = listened[i]
	}
	return nil
}

// connections is how many clients the pair had.
func (p *matrixPair) connections(refused matrixStep) (n int) {
	if p.first.Way == asClient {
		n++
	}
	if p.second.Way == asClient && refused == granted {
		n++
	}
	return n
}

// awaitServed waits until the server has accepted all that the clients opened,
// also what they have closed again.
func (b *Bench) awaitServed(ctx context.Context, want int) (served int, err error) {
	err = b.await(ctx, func() (bool, error) {
		served = 0
		for _, l := range b.Listeners {
			a, err := b.Server.Accepted(ctx, l.Handle, false)
			if err != nil {
				return false, err
			}
			served += a.Count
		}
		return served >= want, nil
	})
	return served, err
}
