package experiments

import (
	"context"
	"errors"
	"io/fs"

	"brink/experiments/lab"
)

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
	all, p := 0, Prediction{Unit: "pairs", Formula: "pairs - refused by " + r.rule}
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
