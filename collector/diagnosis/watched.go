package diagnosis

import (
	"fmt"
	"slices"
	"time"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// Watched is what a short trace has told of the subject.
type Watched struct {
	For      time.Duration // 0: nothing was traced
	By       string        // "11 hooks by tracepoint, …"
	WhyNot   string        // it was not traced, in a sentence
	Refusals []Refusal
	Unnamed  uint64   // refusals beyond those
	Lost     uint64   // records that did not arrive
	Blind    []string // what this kernel's hooks do not see, in sentences
}

func (w *Watched) span() string { return w.For.Round(100 * time.Millisecond).String() }

// findings are the refusals of the given ones, or that there was none; and what
// the trace may have missed.
func (w *Watched) findings(refusals []Refusal) (list []Finding) {
	if w.For == 0 {
		return []Finding{{Kind: Unknown, Text: w.WhyNot}}
	}
	source := "traced for " + w.span() + ": " + w.By
	for _, r := range refusals[:min(len(refusals), shown)] {
		list = append(list, r.finding(source))
	}
	if n := len(refusals) - len(list); n > 0 {
		list = append(list, Finding{Kind: Refused, Source: source, about: aboutCount(n),
			Text: fmt.Sprintf("%s of refusal, less frequent.", plural(n, "more kind"))})
	}
	if len(refusals) == 0 {
		list = append(list, Finding{Kind: NotRefused, Source: source,
			Text: fmt.Sprintf("Nothing was refused in the %s that brink watched.", w.span())})
	}
	if w.Unnamed > 0 {
		list = append(list, Finding{Kind: Unknown, Text: fmt.Sprintf("%d more refusals were too different from each other to be kept apart.", w.Unnamed)})
	}
	if w.Lost > 0 {
		list = append(list, Finding{Kind: Unknown, Text: fmt.Sprintf("%d records of the trace were lost: there may be more refusals than are told.", w.Lost)})
	}
	for _, text := range w.Blind {
		list = append(list, Finding{Kind: Unknown, Text: text})
	}
	return list
}

// inVerdict is the most frequent refusal in a few words; empty for none. What
// may have been somebody else's is left out.
func (w *Watched) inVerdict(refusals []Refusal) string {
	refusals = slices.DeleteFunc(slices.Clone(refusals), func(r Refusal) bool { return r.unowned() })
	if w.For == 0 || len(refusals) == 0 {
		return ""
	}
	s := refusals[0].short()
	if n := len(refusals) - 1; n > 0 {
		s += fmt.Sprintf(", and %s of refusal", plural(n, "more kind"))
	}
	return s + ", in the " + w.span() + " just watched"
}

// short is "12 refused connects to 127.0.0.1:80 (EADDRNOTAVAIL)", of a bind
// "1 refused bind of 0.0.0.0:80 (EADDRINUSE)".
func (r *Refusal) short() string {
	s := plural(int(r.Count), r.noun())
	switch {
	case r.Peer.IsValid():
		s += fmt.Sprintf(" to %s", r.Peer)
	case r.Limit == limits.BindConflict && r.Local.IsValid():
		s += fmt.Sprintf(" of %s", r.Local)
	case r.Local.IsValid() && r.Local.Port() != 0:
		s += fmt.Sprintf(" at %s", r.Local)
	}
	if name := r.answer(); name != "" {
		s += " (" + name + ")"
	}
	return s
}

// unowned: a counter of the namespace alone tells of it, so that neither who was
// refused is known nor where.
func (r *Refusal) unowned() bool {
	return r.PID == 0 && !r.Local.IsValid() && !r.Peer.IsValid()
}

func (r *Refusal) noun() string {
	switch {
	case r.Limit == limits.BindConflict:
		return "refused bind"
	case r.Limit != limits.None && r.Peer.IsValid():
		return "refused connect"
	case r.Limit != limits.None:
		return "refusal"
	case r.Lived:
		return "broken connection"
	}
	return "failed connect"
}

// whose joins the process on: it connects and binds, and other things are
// refused to it.
func (r *Refusal) whose() string {
	if r.noun() == "refusal" {
		return " to "
	}
	return " by "
}

// answer is what the program was told, or what became of the packet.
func (r *Refusal) answer() string {
	if name := unix.ErrnoName(r.Errno); name != "" {
		return name
	}
	return r.Outcome.String()
}

func (r *Refusal) finding(source string) Finding {
	f := Finding{Kind: Refused, Source: source, about: r.visit}
	f.Text = r.short()
	if r.PID != 0 {
		f.Text += r.whose() + who(r.PID, r.Process)
	}
	if r.unowned() {
		f.Text += " somewhere in this network namespace; the kernel's counter does not say whose"
	}
	meaning, fixes := r.explain()
	f.Text, f.Fixes = sentence(f.Text+": "+meaning), fixes
	return f
}

func (r *Refusal) visit(v collector.Visitor) {
	v.Uint(collector.KeyCount, r.Count)
	visitString(v, collector.KeyLimit, r.Limit.String())
	visitString(v, collector.KeyFailure, r.Failure.String())
	visitString(v, collector.KeyErrno, unix.ErrnoName(r.Errno))
	if r.Errno != 0 {
		v.String(collector.KeyErrorType, collector.ErrorType(r.Errno))
	}
	visitString(v, collector.KeyOutcome, r.Outcome.String())
	visitNumber(v, collector.KeyLimitUsed, r.Used)
	visitNumber(v, collector.KeyLimitMax, r.Max)
	visitString(v, collector.KeyLimitKnob, r.Limit.Entry().Knob)
	if r.Local.IsValid() || r.Peer.IsValid() {
		v.String(collector.KeyTransport, r.Transport.String())
	}
	visitAddress(v, collector.KeyLocalAddress, collector.KeyLocalPort, r.Local)
	visitAddress(v, collector.KeyPeerAddress, collector.KeyPeerPort, r.Peer)
	visitProcess(v, r.PID, r.Process)
	visitString(v, collector.KeyRemedy, r.Remedy)
}
