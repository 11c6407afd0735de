package collector

import "brink/bpf"

// Failure is how a connection failed, told apart by what happened to it and not
// by the errno alone: ETIMEDOUT has three causes.
type Failure uint8

// The failures, numbered as in bpf/event.h.
const (
	NoFailure             = Failure(bpf.BrinkFailureFAILURE_NONE)
	Refused               = Failure(bpf.BrinkFailureFAILURE_REFUSED)
	Reset                 = Failure(bpf.BrinkFailureFAILURE_RESET)
	SYNTimeout            = Failure(bpf.BrinkFailureFAILURE_SYN_TIMEOUT)
	RetransmissionTimeout = Failure(bpf.BrinkFailureFAILURE_RETRANSMISSION_TIMEOUT)
	ProbeTimeout          = Failure(bpf.BrinkFailureFAILURE_PROBE_TIMEOUT)
	Unreachable           = Failure(bpf.BrinkFailureFAILURE_UNREACHABLE)
	NoPort                = Failure(bpf.BrinkFailureFAILURE_NO_PORT)
	OtherFailure          = Failure(bpf.BrinkFailureFAILURE_OTHER)
)

var failureNames = [bpf.BrinkFailureFAILURE_COUNT]string{
	Refused:               "refused",
	Reset:                 "reset",
	SYNTimeout:            "syn_timeout",
	RetransmissionTimeout: "retransmission_timeout",
	ProbeTimeout:          "probe_timeout",
	Unreachable:           "unreachable",
	NoPort:                "no_port",
	OtherFailure:          "other",
}

// String is the value of brink.failure; empty for NoFailure.
func (f Failure) String() string {
	if int(f) < len(failureNames) {
		return failureNames[f]
	}
	return ""
}

// Outcome is what a refusal meant where the refused one is given no errno.
type Outcome uint8

// The outcomes, numbered as in bpf/event.h.
const (
	Dropped   = Outcome(bpf.BrinkOutcomeOUTCOME_DROPPED)
	SYNCookie = Outcome(bpf.BrinkOutcomeOUTCOME_SYN_COOKIE)
	Pressure  = Outcome(bpf.BrinkOutcomeOUTCOME_PRESSURE)
	WasReset  = Outcome(bpf.BrinkOutcomeOUTCOME_RESET)
)

var outcomeNames = [...]string{Dropped: "dropped", SYNCookie: "syn_cookie", Pressure: "pressure", WasReset: "reset"}

// String is the value of brink.outcome; empty for none.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return ""
}
