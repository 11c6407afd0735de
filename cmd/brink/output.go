package main

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// output buffers lines and passes them on a few times a second, so that a line
// costs no system call and a person still sees it at once.
type output struct {
	mu   sync.Mutex
	w    *bufio.Writer
	done chan struct{}
	gone sync.WaitGroup
}

const flushEvery = 100 * time.Millisecond

func newOutput(w io.Writer) *output {
	o := &output{w: bufio.NewWriterSize(w, 256<<10), done: make(chan struct{})}
	o.gone.Go(o.flush)
	return o
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}

func (o *output) flush() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.done:
			return
		case <-tick.C:
			o.mu.Lock()
			o.w.Flush()
			o.mu.Unlock()
		}
	}
}

func (o *output) stop() {
	close(o.done)
	o.gone.Wait()
	o.w.Flush()
}
