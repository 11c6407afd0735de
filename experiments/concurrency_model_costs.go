package experiments

import (
	"context"
	"fmt"
	"net/netip"

	"brink/collector/memory"
	"brink/experiments/lab"
)

// side is one model's server, which no limit bounds.
type side struct {
	model  string
	at     netip.AddrPort
	server *lab.Worker
}

func prepareSides(sides ...*side) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) (err error) {
		if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
			return err
		}
		for _, s := range sides {
			if s.server, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
				return err
			}
			if _, err = startModel.Run(ctx, s.server, modelOptions{Model: s.model, At: s.at}); err != nil {
				return err
			}
		}
		return nil
	}
}

// sideBySide is the control, with more connections than the limits before
// allowed, and compares what a connection costs in each model.
func sideBySide(connections int) Leg {
	sides := []*side{
		{model: threadModel, at: IPv4.at(1, firstPort)},
		{model: goroutineModel, at: IPv4.at(1, firstPort+1)},
		{model: loopModel, at: IPv4.at(1, firstPort+2)},
	}
	return Leg{
		Name: "side by side, without the limits", Prepare: prepareSides(sides...),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: len(sides) * connections, Unit: "connections", Formula: "models × connections",
				Inputs: []Input{{"models", len(sides)}, {"connections", connections}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (sum Measurement, err error) {
			for _, s := range sides {
				cost, m, err := b.costOf(ctx, s, connections)
				if err != nil {
					return sum, err
				}
				b.note(s.model+": memory", cost.memory()/connections)
				b.note(s.model+": tasks", cost.Tasks)
				m.Findings = cost.findings(s.model, connections)
				sum = sum.plus(m)
			}
			return sum, nil
		},
		Inspect: func(b *Bench, _ Measurement, _ memory.Evidence) string { return modelsInOrder(b.Notes, connections) },
	}
}

// modelsInOrder: a task for each connection in one model only, and less memory
// from model to model.
func modelsInOrder(notes map[string]int, connections int) string {
	order := []string{threadModel, goroutineModel, loopModel}
	for i, model := range order {
		tasks := notes[model+": tasks"]
		if perConnection := model == threadModel; perConnection != (tasks >= connections) {
			return fmt.Sprintf("%s: %d tasks more for %d connections", model, tasks, connections)
		}
		if i == 0 {
			continue
		}
		if more, less := notes[order[i-1]+": memory"], notes[model+": memory"]; more <= less {
			return fmt.Sprintf("predicted more memory a connection for %s than for %s, measured %d and %d bytes", order[i-1], model, more, less)
		}
	}
	return ""
}

// idleThread: what of a thread's stack counts is what it has touched.
func idleThread(connections int) Leg {
	s := &side{model: threadModel, at: IPv4.at(1, firstPort)}
	return Leg{
		Name: "an idle thread's memory", Prepare: prepareSides(s),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			look, err := lookAtModel.Run(ctx, s.server, struct{}{})
			return predictThread(look.Page, look.Stack), err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			cost, m, err := b.costOf(ctx, s, connections)
			if m.Value != connections {
				m.Problem = fmt.Sprintf("%d of %d connections answered", m.Value, connections)
			}
			m.Value = cost.own() / connections
			m.Findings = []Finding{
				{"address space", float64(cost.Reserved) / float64(connections) / 1024, "KiB a connection"},
				{"kernel stack", float64(cost.Tasks*cost.KernelStack) / float64(connections) / 1024, "KiB a connection"},
			}
			return m, err
		},
	}
}

// predictThread: one page of stack, which is why nothing larger than a page is
// read at a time, and the last level's page table that maps it. A table has
// eight bytes a page, and serves several stacks if they are small.
func predictThread(page, stack int) Prediction {
	reach := page / 8 * page
	table := page * min(stack, reach) / reach
	return Prediction{
		Value: page + table, Unit: "bytes a connection", Formula: "page + page × min(1, stack / (page / 8 × page))",
		Inputs: []Input{{"page", page}, {"stack", stack}}, Within: 0.2, // beside the server's own memory
	}
}

// modelCost is what all connections of a server take together.
type modelCost struct {
	modelLook
	switches int // of one round of messages, all sent at once
}

// costOf holds connections and looks before and after.
func (b *Bench) costOf(ctx context.Context, s *side, connections int) (cost modelCost, m Measurement, err error) {
	look := func() (l modelLook) {
		if err == nil {
			l, err = lookAtModel.Run(ctx, s.server, struct{}{})
		}
		return l
	}
	look() // the first one takes memory itself
	empty := look()
	if err != nil {
		return cost, m, err
	}
	held, err := b.holdModel(ctx, s.server, s.at, connections)
	cost.modelLook = look().since(empty)
	if err != nil {
		return cost, m, err
	}
	if cost.switches, err = b.switchesOf(ctx, s, held); err != nil {
		return cost, m, err
	}
	m, err = b.endModel(ctx, s.server, held)
	return cost, m, err
}

func (b *Bench) switchesOf(ctx context.Context, s *side, held heldModel) (int, error) {
	before, err := countSwitches.Run(ctx, s.server, struct{}{})
	if err != nil {
		return 0, err
	}
	if _, err := b.Client.EchoAll(ctx, lab.EchoOptions{Sockets: held.client.Sockets}); err != nil {
		return 0, err
	}
	after, err := countSwitches.Run(ctx, s.server, struct{}{})
	return after - before, err
}

func (m modelLook) since(before modelLook) modelLook {
	m.User -= before.User
	m.PageTables -= before.PageTables
	m.Tasks -= before.Tasks
	m.Reserved -= before.Reserved
	return m
}

func (c modelCost) findings(model string, connections int) []Finding {
	n := float64(connections)
	return []Finding{
		{model + ": memory", float64(c.memory()) / n / 1024, "KiB a connection"},
		{model + ": context switches", float64(c.switches) / n, "a message"},
	}
}
