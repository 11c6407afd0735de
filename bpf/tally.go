package bpf

import "time"

// HandshakeBounds are the upper bounds, in nanoseconds, of the buckets in which a
// tally counts how long handshakes took: from SYN_SENT or SYN_RECV to ESTABLISHED.
// The last bucket has no bound. 1 s and 3 s are what one and two lost SYNs cost.
var HandshakeBounds = bounds(
	50*time.Microsecond, 100*time.Microsecond, 250*time.Microsecond, 500*time.Microsecond, time.Millisecond,
	2500*time.Microsecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
	100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond, time.Second, 3*time.Second,
)

// LifetimeBounds are those of how long connections were established, until the
// end of the socket: what TIME_WAIT follows is not part of it.
var LifetimeBounds = bounds(
	100*time.Microsecond, 500*time.Microsecond, time.Millisecond, 5*time.Millisecond, 10*time.Millisecond,
	50*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond, time.Second, 5*time.Second,
	10*time.Second, time.Minute, 10*time.Minute, time.Hour, 24*time.Hour,
)

func bounds(upper ...time.Duration) (ns [len(BrinkLives{}.Handshake) - 1]uint64) {
	for i := range ns {
		ns[i] = uint64(upper[i])
	}
	return ns
}
