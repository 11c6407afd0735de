package otlp

import "time"

// sweepEvery is how often the exporter looks for what should have ended.
const sweepEvery = 5 * time.Second

// sweeper calls a function once in a while. Its zero value has not been started.
type sweeper struct{ stopped, finished chan struct{} }

func (s *sweeper) start(sweep func(now time.Time)) {
	s.stopped, s.finished = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.finished)
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				sweep(now)
			case <-s.stopped:
				return
			}
		}
	}()
}

// stop waits for the last call to end. It is called once.
func (s *sweeper) stop() {
	if s.stopped != nil {
		close(s.stopped)
		<-s.finished
	}
}
