package experiments

import (
	"context"
	"fmt"
	"time"

	"brink/experiments/lab"
)

// webGrace is how long a request that is to wait is watched: did it go on? None
// does before others end, so this is no race.
const webGrace = 100 * time.Millisecond

// prepareHTTP starts a web server and a client. What the client must know of the
// server goes into the load.
func (b *Bench) prepareHTTP(ctx context.Context, f Family, o httpOptions, l *httpLoad) (err error) {
	if err := b.addAddresses(ctx, f, 1); err != nil {
		return err
	}
	if b.Server, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
		return err
	}
	if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
		return err
	}
	l.At, l.Version = o.At, o.Version
	l.Certificate, err = startHTTP.Run(ctx, b.Server, o)
	return err
}

// webPush is what a load came to.
type webPush struct {
	held     httpServed // while all that could be under way were
	answered int        // then
	all      httpServed // when every request was done
	problem  string
}

// pushHTTP begins the requests, waits until so many are under way, looks, and
// lets all of them end. At the end there is no connection any more.
func (b *Bench) pushHTTP(ctx context.Context, l httpLoad, atOnce int) (p webPush, err error) {
	if _, err := beginHTTP.Run(ctx, b.Client, l); err != nil {
		return p, err
	}
	if p.held, p.answered, err = b.heldHTTP(ctx, atOnce); err != nil {
		return p, err
	}
	if p.held.Holding != atOnce || p.answered != atOnce {
		p.problem = fmt.Sprintf("%d requests were to be under way at once, the server held %d and the client had %d answers",
			atOnce, p.held.Holding, p.answered)
	}
	if err := b.noteWebSockets(l); err != nil {
		return p, err
	}
	if p.problem, err = b.finishHTTP(ctx, l, p.problem); err != nil {
		return p, err
	}
	if p.all, err = lookAtHTTP.Run(ctx, b.Server, struct{}{}); err != nil {
		return p, err
	}
	return p, b.endWeb(ctx)
}

// heldHTTP waits for so many, and then whether there are more.
func (b *Bench) heldHTTP(ctx context.Context, atOnce int) (held httpServed, answered int, err error) {
	look := func() (bool, error) {
		if held, err = lookAtHTTP.Run(ctx, b.Server, struct{}{}); err != nil {
			return false, err
		}
		answers, err := lookAtWeb.Run(ctx, b.Client, struct{}{})
		answered = answers.Answered
		return held.Holding >= atOnce && answered >= atOnce || len(answers.Failed) > 0, err
	}
	if err := b.await(ctx, look); err != nil {
		return held, answered, err
	}
	select {
	case <-ctx.Done():
		return held, answered, ctx.Err()
	case <-time.After(webGrace):
	}
	_, err = look()
	return held, answered, err
}

// finishHTTP releases the requests: those that waited take their turn.
func (b *Bench) finishHTTP(ctx context.Context, l httpLoad, problem string) (string, error) {
	if _, err := releaseHTTP.Run(ctx, b.Server, struct{}{}); err != nil {
		return problem, err
	}
	var answers webAnswers
	err := b.await(ctx, func() (_ bool, err error) {
		answers, err = lookAtWeb.Run(ctx, b.Client, struct{}{})
		return answers.Finished+len(answers.Failed) >= l.Requests, err
	})
	if problem == "" && answers.Finished != l.Requests {
		problem = fmt.Sprintf("%d of %d requests came to an end; failed: %v", answers.Finished, l.Requests, answers.Failed)
	}
	return problem, err
}

// endWeb closes client and server, in this order.
func (b *Bench) endWeb(ctx context.Context) error {
	if _, err := endHTTP.Run(ctx, b.Client, struct{}{}); err != nil {
		return err
	}
	return b.endServer(ctx)
}

func (b *Bench) endServer(ctx context.Context) error {
	if err := b.awaitNoConnection(ctx); err != nil {
		return err
	}
	_, err := resetHTTP.Run(ctx, b.Server, struct{}{})
	return err
}

// awaitNoConnection waits until the server knows that its clients are gone.
func (b *Bench) awaitNoConnection(ctx context.Context) error {
	return b.await(ctx, func() (bool, error) {
		served, err := lookAtHTTP.Run(ctx, b.Server, struct{}{})
		return served.Open == 0, err
	})
}

// overTCP is the measurement of a push whose value is the connections that were
// open at once. Each accepted one has two ends, that of a look at SETTINGS too.
func (p webPush) overTCP() Measurement {
	return Measurement{
		Value: p.all.MostOpen, Endpoints: 2 * p.all.Accepted, Problem: p.problem,
	}
}

// waiting is the finding of how many requests had to.
func (p webPush) waiting(l httpLoad) Finding {
	return Finding{"waited for their turn", float64(l.Requests - p.answered), "requests"}
}

// neverMore: those that waited did so until others had ended.
func (p webPush) neverMore(atOnce int) string {
	if p.problem == "" && p.all.MostHeld > atOnce {
		return fmt.Sprintf("%d requests were under way at once, not %d at most", p.all.MostHeld, atOnce)
	}
	return p.problem
}
