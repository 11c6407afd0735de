package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"brink/collector"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notifier tells systemd how the agent is (sd_notify(3)); without one it does
// nothing.
type notifier struct{ log *slog.Logger }

func (n notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}

// statusEvery is how often systemctl status is told something new.
const statusEvery = 30 * time.Second

// beats tells systemd that the agent is ready, as soon as the kernel counts, and
// from then on that it works. What has stopped working gets no WATCHDOG=1.
func (a *agent) beats(ctx context.Context) {
	a.observing.Store(true)
	a.notify.send("READY=1\n" + a.status())
	every := statusEvery
	patience, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn("systemd's watchdog is not answered", "error", err)
	}
	if patience > 0 {
		every = min(every, patience/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.beat(patience > 0)
		}
	}
}

func (a *agent) beat(watched bool) {
	if err := a.ill(time.Now()); err != nil {
		a.log.Error("brink does not work as it should", "why", err)
		a.notify.send("STATUS=" + err.Error())
		return
	}
	state := a.status()
	if watched {
		state = "WATCHDOG=1\n" + state
	}
	a.notify.send(state)
}

// status is the line that systemctl status shows.
func (a *agent) status() string {
	how := modesInWords(a.tracer)
	if a.tracer.Blocked() != nil {
		how = "limits only, the kernel cannot be traced"
	}
	s, _ := a.readings.Latest()
	if len(s.Readings) == 0 {
		return "STATUS=" + how
	}
	worst := s.Readings[0]
	return fmt.Sprintf("STATUS=%s; closest limit: %s at %.0f %%", how, worst.Limit, 100*worst.Utilisation())
}

// reloads is what SIGHUP asks for: what may have changed is read anew, names of
// cgroups, pods and namespaces, and all limits. Flags and the environment stay.
func (a *agent) reloads(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			a.reload()
		}
	}
}

func (a *agent) reload() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail
	a.notify.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
	collector.ForgetNames()
	a.namespaces.Forget()
	a.readings.Again()
	a.log.Info("reloaded: names and limits are read anew")
	a.notify.send("READY=1")
}
