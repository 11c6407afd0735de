package metrics

import "strings"

// kind is how an instrument's values are put together.
type kind uint8

const (
	counter   kind = iota // only grows, from the start of the agent
	upDown                // a sum that may shrink
	gauge                 // stands for itself; the worst is told first
	histogram             // seconds, with fixed bounds
)

// instrument is a metric. Units are UCUM's; what stands in braces is a word.
type instrument struct {
	name, unit, description string
	kind                    kind
	float                   bool
}

// The instruments. Names are of OpenTelemetry's semantic conventions where they
// have one.
var (
	limitUsage = instrument{"brink.limit.usage", "{resource}", "How much of the limit is used, in the limit's own unit; of several subjects alike, the worst one's.", upDown, false}
	limitMax   = instrument{"brink.limit.max", "{resource}", "The limit, in its own unit.", upDown, false}
	limitPart  = instrument{"brink.limit.utilization", "1", "How much of the limit is used, in parts of it; above 1 where the kernel lets more in than it says.", gauge, true}
	limitHits  = instrument{"brink.limit.hits", "{refusal}", "Refusals by the kernel because of the limit.", counter, false}
	limitTime  = instrument{"brink.limit.time_to_exhaustion", "s", "When the limit is met if its use goes on growing as fast as it does; absent where it does not grow.", gauge, true}

	connectionCount = instrument{"system.network.connection.count", "{connection}", "TCP sockets by state.", upDown, false}

	opened      = instrument{"brink.connection.opened", "{connection}", "Ends of TCP connections that were established.", counter, false}
	closed      = instrument{"brink.connection.closed", "{connection}", "Ends of TCP connections that ended without an error.", counter, false}
	failed      = instrument{"brink.connection.failed", "{connection}", "Ends of TCP connections that failed, before or after they were established.", counter, false}
	handshake   = instrument{"brink.connection.handshake.duration", "s", "From the first SYN, sent or received, until the connection is established.", histogram, true}
	lifetime    = instrument{"brink.connection.duration", "s", "From the end of the handshake until the socket is closed or only waits in TIME_WAIT.", histogram, true}
	transferred = instrument{"brink.connection.io", "By", "Payload of connections that have ended.", counter, false}
	retransmits = instrument{"brink.connection.retransmits", "{segment}", "Segments that were sent again, by connections that have ended.", counter, false}

	timeWaitEntered    = instrument{"brink.time_wait.entered", "{socket}", "Timewait sockets made.", counter, false}
	timeWaitLeft       = instrument{"brink.time_wait.left", "{socket}", "Timewait sockets whose time was over.", counter, false}
	timeWaitReused     = instrument{"brink.time_wait.reused", "{socket}", "Timewait sockets that gave way to a new connection.", counter, false}
	timeWaitOverflowed = instrument{"brink.time_wait.overflowed", "{socket}", "Connections that found no timewait socket and skipped TIME_WAIT.", counter, false}
	timeWaitCount      = instrument{"brink.time_wait.count", "{socket}", "Timewait sockets now.", upDown, false}

	acceptQueueUsage = instrument{"brink.listener.accept_queue.usage", "{connection}", "Connections that wait for accept() at the listener.", upDown, false}
	acceptQueueMax   = instrument{"brink.listener.accept_queue.max", "{connection}", "How many the listener's accept queue holds.", upDown, false}
	pathUsage        = instrument{"brink.path.ports.usage", "{port}", "Ephemeral ports taken from one source address towards one destination: the worst of each namespace, of private destinations.", upDown, false}
	pathMax          = instrument{"brink.path.ports.max", "{port}", "Ephemeral ports that there are for it.", upDown, false}

	cpuTime     = instrument{"process.cpu.time", "s", "CPU time of brink itself.", counter, true}
	memoryUsage = instrument{"process.memory.usage", "By", "Resident memory of brink itself.", upDown, false}
	kernelBytes = instrument{"brink.maps.memory", "By", "Kernel memory of brink's BPF maps.", upDown, false}
	events      = instrument{"brink.events", "{event}", "Records that the kernel programs told and brink decoded.", counter, false}
	eventsLost  = instrument{"brink.events.lost", "{event}", "Events that did not arrive whole.", counter, false}
	skipped     = instrument{"brink.program.skipped", "{run}", "Runs of BPF programs that the kernel left out, on the whole host.", counter, false}
	runTime     = instrument{"brink.program.run.time", "s", "Time that the BPF program ran; needs --program-stats.", counter, true}
	runCount    = instrument{"brink.program.run.count", "{run}", "How often the BPF program ran; needs --program-stats.", counter, false}
	hookMode    = instrument{"brink.hook.mode", "{hook}", "1 for the rung that the hook is seen on.", upDown, false}
	spans       = instrument{"brink.spans", "{span}", "Spans by what became of them.", counter, false}
	spansQueued = instrument{"brink.spans.queued", "{span}", "Spans that wait to be sent.", upDown, false}
	readingTime = instrument{"brink.limits.read.duration", "s", "How long the last reading of all limits took.", gauge, true}
	readingAge  = instrument{"brink.limits.read.age", "s", "How old the reading of the limits is that the other metrics show.", gauge, true}
)

// Names are the metrics' names, for whoever documents or checks them.
func Names() (names []string) {
	for _, i := range instruments {
		names = append(names, i.name)
	}
	return names
}

var instruments = []*instrument{
	&limitUsage, &limitMax, &limitPart, &limitHits, &limitTime,
	&connectionCount, &opened, &closed, &failed, &handshake, &lifetime, &transferred, &retransmits,
	&timeWaitEntered, &timeWaitLeft, &timeWaitReused, &timeWaitOverflowed, &timeWaitCount,
	&acceptQueueUsage, &acceptQueueMax, &pathUsage, &pathMax,
	&cpuTime, &memoryUsage, &kernelBytes, &events, &eventsLost, &skipped, &runTime, &runCount, &hookMode,
	&spans, &spansQueued, &readingTime, &readingAge,
}

// lowest reports whether of several values alike the lowest is the worst.
func (i *instrument) lowest() bool { return strings.HasSuffix(i.name, "time_to_exhaustion") }
