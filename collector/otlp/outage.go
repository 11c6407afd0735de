package otlp

import (
	"log/slog"
	"time"
)

// warnEvery is the shortest time between two warnings about one destination.
const warnEvery = time.Minute

// outage warns once when a destination begins to fail and says when it works
// again. Of one that flaps it warns once a minute. Exports of one destination
// come one after another, so nothing is locked.
type outage struct {
	log         *slog.Logger
	destination string
	told        bool // that it fails
	last        time.Time
}

// note takes the outcome of an export.
func (o *outage) note(err error) {
	switch {
	case err != nil && !o.told && time.Since(o.last) >= warnEvery:
		o.told, o.last = true, time.Now()
		o.log.Warn("spans are lost: the export fails", "to", o.destination, "error", err)
	case err == nil && o.told:
		o.told = false
		o.log.Info("spans are exported again", "to", o.destination)
	}
}
