package experiments

import (
	"bytes"
	"encoding/json"
	"time"

	"brink/collector"

	"golang.org/x/sys/unix"
)

// Result is one experiment's line: the first leg's numbers on top, every leg's
// below them, and one verdict for all.
type Result struct {
	Experiment string       `json:"experiment"`
	Question   string       `json:"question"`
	Limit      string       `json:"limit"`
	Predicted  *Predicted   `json:"predicted,omitempty"`
	Measured   *Measured    `json:"measured,omitempty"`
	Evidence   EvidenceJSON `json:"evidence"`
	Findings   []Finding    `json:"findings,omitempty"`
	Verdict    Verdict      `json:"verdict"`
	Reason     string       `json:"reason"`
	Duration   float64      `json:"duration_seconds"`
	Legs       []LegResult  `json:"legs,omitempty"`
}

// LegResult is one leg's part of a result.
type LegResult struct {
	Name      string       `json:"leg"`
	Predicted *Predicted   `json:"predicted,omitempty"`
	Measured  *Measured    `json:"measured,omitempty"`
	Evidence  EvidenceJSON `json:"evidence"`
	Findings  []Finding    `json:"findings,omitempty"`
	Verdict   Verdict      `json:"verdict"`
	Reason    string       `json:"reason"`
	Duration  float64      `json:"duration_seconds"`
	Matrix    *Matrix      `json:"matrix,omitempty"`
}

// Predicted is a prediction as it is written.
type Predicted struct {
	Value   int    `json:"value"`
	Unit    string `json:"unit"`
	Formula string `json:"formula"`
	Inputs  inputs `json:"inputs"`
	Errno   string `json:"brink.errno,omitempty"`
	// Within is how far a measurement may be from the value, as a part of it.
	Within float64 `json:"within,omitempty"`
}

// Measured is a measurement as it is written.
type Measured struct {
	Value     int    `json:"value"`
	Unit      string `json:"unit"`
	Errno     string `json:"brink.errno,omitempty"`
	ErrorType string `json:"error.type,omitempty"`
	Refusals  int    `json:"refusals"`
}

// EvidenceJSON is the kernel's evidence as it is written.
type EvidenceJSON struct {
	Mode        string    `json:"mode"`
	Connections int       `json:"connections"`
	Hits        []HitJSON `json:"hits"`
	TimeWaits   int       `json:"time_waits,omitempty"`
	Lost        uint64    `json:"lost"`
}

// HitJSON is a count of refusals as it is written.
type HitJSON struct {
	Limit string `json:"brink.limit"`
	Errno string `json:"brink.errno,omitempty"`
	Count uint64 `json:"count"`
	Hook  string `json:"hook"`
}

// inputs is an object whose keys keep the formula's order.
type inputs []Input

// MarshalJSON implements json.Marshaler.
func (in inputs) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, input := range in {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(input.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(input.Value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (leg *LegResult) predicted(p Prediction) {
	leg.Predicted = &Predicted{Value: p.Value, Unit: p.Unit, Formula: p.Formula, Inputs: p.Inputs, Within: p.Within}
	if p.Errno != 0 {
		leg.Predicted.Errno = unix.ErrnoName(p.Errno)
	}
}

func (leg *LegResult) measured(p Prediction, m Measurement) {
	leg.Measured = &Measured{Value: m.Value, Unit: p.Unit, Refusals: m.Refusals}
	leg.Matrix = m.Matrix
	leg.Findings = m.Findings
	if m.Errno != 0 {
		leg.Measured.Errno = unix.ErrnoName(m.Errno)
		leg.Measured.ErrorType = collector.ErrorType(m.Errno)
	}
}

func (leg *LegResult) evidence(e Evidence, source func(collector.Hook) string) {
	leg.Evidence = EvidenceJSON{
		Mode: e.Mode, Connections: e.Connections, Lost: e.Lost,
		TimeWaits: e.TimeWaits[collector.TimeWaitEnter], Hits: []HitJSON{},
	}
	for _, h := range e.Hits {
		hit := HitJSON{Limit: h.Limit.String(), Count: h.Count, Hook: source(h.Hook)}
		if h.Errno != 0 {
			hit.Errno = unix.ErrnoName(h.Errno)
		}
		leg.Evidence.Hits = append(leg.Evidence.Hits, hit)
	}
}

func (leg *LegResult) end(began time.Time) {
	leg.Duration = time.Since(began).Round(time.Millisecond).Seconds()
	if leg.Evidence.Hits == nil {
		leg.Evidence = EvidenceJSON{Mode: modeNone, Hits: []HitJSON{}}
	}
}
