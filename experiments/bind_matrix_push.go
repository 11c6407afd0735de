package experiments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"brink/experiments/lab"
)

// toldASecond is how many refusals of one process the kernel tells by themselves
// in a second (bpf's storm.h); further ones are summed up, without their holders.
const toldASecond = 100

// firstMatrixPort is that of the first pair; the others follow.
const firstMatrixPort = 20000

// A matrixRun is a table on its way through a lab.
type matrixRun struct {
	matrixTable
	pairs  []matrixPair
	holder *lab.Worker
	askers []*lab.Worker // of each pair
	// answers are what the kernel said, of each pair.
	answers []matrixAnswer
}

func (t matrixTable) leg() Leg {
	run := &matrixRun{matrixTable: t, pairs: t.pairs()}
	leg := Leg{Name: t.name, Limit: t.limit, Prepare: run.prepare, Predict: run.predict, Push: run.push}
	if t.bothListen {
		leg.Inspect = run.attributed
	}
	return leg
}

// pairs are the cells, row by row.
func (t matrixTable) pairs() (pairs []matrixPair) {
	rows, columns := socketsOf(t.rows), socketsOf(t.columns)
	for i, first := range rows {
		for j, second := range columns {
			p := matrixPair{
				port: firstMatrixPort + uint16(len(pairs)), row: i, column: j,
				first: first, second: second, steps: []matrixStep{atPort},
			}
			if second.Listens {
				p.steps = append(p.steps, atListen)
			}
			if t.bothListen && !first.Listens && first.Way != asClient {
				p.steps = append(p.steps, atBothBound)
			}
			pairs = append(pairs, p)
		}
	}
	return pairs
}

func socketsOf(groups []matrixGroup) (all []matrixSocket) {
	for _, g := range groups {
		all = append(all, g.sockets()...)
	}
	return all
}

func (r *matrixRun) prepare(ctx context.Context, b *Bench) error {
	if r.autobindReuse {
		err := b.set(ctx, "net.ipv4.ip_autobind_reuse", "1")
		if errors.Is(err, fs.ErrNotExist) {
			return skipf("this kernel has no net.ipv4.ip_autobind_reuse, which is of 5.7")
		}
		if err != nil {
			return err
		}
	}
	if err := b.addAddresses(ctx, IPv6, 2); err != nil {
		return err
	}
	if err := b.pair(ctx); err != nil {
		return err
	}
	r.holder = b.Client
	for _, f := range []Family{IPv4, IPv6} {
		for _, port := range []uint16{sameDestination, otherDestination} {
			s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: f.at(1, port), Accept: true, CloseOnEOF: true})
			if err != nil {
				return err
			}
			b.Listeners = append(b.Listeners, s)
		}
	}
	return nil
}

// predict asks portrule about every pair.
func (r *matrixRun) predict(ctx context.Context, b *Bench) (Prediction, error) {
	reuse, err := b.number(ctx, "net.ipv4.ip_autobind_reuse")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Prediction{}, err
	}
	all, p := 0, Prediction{Unit: "pairs", Formula: "pairs - those that the rule refuses"}
	for i := range r.pairs {
		pair := &r.pairs[i]
		pair.predict(reuse != 0)
		all += len(pair.steps)
		p.Value += pair.count(pair.refused)
		if pair.refused != granted {
			p.Errno = r.errno
		}
	}
	p.Inputs = []Input{
		{"first", len(r.rows) * len(matrixOptions)}, {"second", len(r.columns) * len(matrixOptions)},
		{"pairs", all}, {"refused", all - p.Value}, {"ip_autobind_reuse", reuse},
	}
	return p, nil
}

// push goes through the pairs in as many processes as it takes that each refusal
// is told by itself.
func (r *matrixRun) push(ctx context.Context, b *Bench) (m Measurement, err error) {
	r.askers, r.answers = nil, nil
	opened := 0
	for _, pairs := range r.chunks() {
		asker, err := b.worker(ctx, lab.WorkerOptions{})
		if err != nil {
			return m, err
		}
		answers, err := r.pushChunk(ctx, asker, pairs)
		if err != nil {
			return m, err
		}
		r.askers = append(r.askers, slices.Repeat([]*lab.Worker{asker}, len(pairs))...)
		r.answers = append(r.answers, answers...)
	}
	for i, p := range r.pairs {
		answer := r.answers[i]
		m.Value += p.count(answer.Refused)
		opened += p.connections(answer.Refused)
		if answer.Refused != granted {
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

// pushChunk has the holder make the first sockets, the asker the second ones, and
// keeps of them those that tell who refused whom.
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
	var keep []uint16
	for i, p := range pairs {
		if r.bothListen && answers[i].refused() {
			keep = append(keep, p.port)
		}
	}
	for _, w := range []*lab.Worker{asker, r.holder} {
		if _, err := leaveMatrix.Run(ctx, w, keep); err != nil {
			return nil, err
		}
	}
	return answers, nil
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
