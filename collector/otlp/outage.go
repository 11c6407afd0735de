package otlp

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isAway tells a destination that does not answer, or asks for patience, from one
// that refused what it was sent: the former's spans are sent again. The clients
// have tried again for a while by themselves then.
func isAway(err error) bool {
	var unreachable *url.Error
	switch {
	case err == nil:
		return false
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &unreachable):
		return true
	// otlptracehttp's word for 429, 502, 503 and 504, of a type it does not export
	case strings.Contains(err.Error(), "retry-able request failure"):
		return true
	}
	switch status.Code(err) { // those that OTLP/gRPC calls retryable
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

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
		o.log.Warn(consequence(err), "to", o.destination, "error", err)
	case err == nil && o.told:
		o.told = false
		o.log.Info("spans are exported again", "to", o.destination)
	}
}

func consequence(err error) string {
	if isAway(err) {
		return "spans wait: the export fails, the oldest will be dropped when the queue is full"
	}
	return "spans are lost: the export fails"
}
