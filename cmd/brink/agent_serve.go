package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// web is the agent's HTTP server; nil where nothing listens.
type web struct {
	server *http.Server
	ended  chan struct{}
}

// serve answers from the very start, so that a probe is told "not yet" and not
// refused.
func (a *agent) serve() *web {
	if a.listener == nil {
		return nil
	}
	if !isLoopback(a.listener) {
		a.log.Info("metrics can be read from other hosts", "listen", a.listener.Addr().String())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.front)
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	a.log.Info("serving", "listen", a.listener.Addr().String())
	return serveOn(a.listener, mux, a)
}

// serveOn bounds what a client can hold: it may be anybody.
func serveOn(l net.Listener, handler http.Handler, a *agent) *web {
	w := &web{ended: make(chan struct{}), server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	go func() {
		defer close(w.ended)
		if err := w.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("nothing is served any more", "listen", l.Addr().String(), "error", err)
		}
	}()
	return w
}

// close lets answers under way be finished, for a second.
func (w *web) close() {
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		w.server.Close()
	}
	<-w.ended
}

func (a *agent) front(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>brink</title><h1>brink %s</h1>
<p>How close is this host to its TCP limits, and why did that connect fail?
<ul><li><a href="/metrics">/metrics</a> for Prometheus
<li><a href="/healthz">/healthz</a> whether brink works
<li><a href="/readyz">/readyz</a> whether it observes, and how</ul>
`, version)
}

func (a *agent) metrics(w http.ResponseWriter, r *http.Request) {
	if !a.observing.Load() {
		http.Error(w, "not observing yet", http.StatusServiceUnavailable)
		return
	}
	a.exports.Handler.ServeHTTP(w, r)
}

// healthz: a brink that reads no records, or hangs in reading a limit, is better
// started anew.
func (a *agent) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := a.ill(time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// ill says what has stopped.
func (a *agent) ill(now time.Time) error {
	if d := a.pulse.stuck(now); d > 0 {
		return fmt.Errorf("no records have been read for %s", d.Round(time.Second))
	}
	if d := a.readings.Overdue(now); d > hangs {
		return fmt.Errorf("the reading of the limits is %s late", d.Round(time.Second))
	}
	return nil
}

// hangs is how late a reading of the limits may be.
const hangs = time.Minute

// readyz: what observes without the kernel's help is ready too. It would be the
// wrong thing to start it again, or not to scrape it: that it sees less is told
// in brink.hook.mode.
func (a *agent) readyz(w http.ResponseWriter, _ *http.Request) {
	if !a.observing.Load() {
		http.Error(w, "not observing yet", http.StatusServiceUnavailable)
		return
	}
	if a.tracer.Blocked() != nil {
		fmt.Fprintln(w, "degraded: limits are read, the kernel cannot be traced:", a.tracer.Advice())
		return
	}
	fmt.Fprintln(w, "ready:", modesInWords(a.tracer))
}
