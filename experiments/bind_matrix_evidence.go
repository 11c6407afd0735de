package experiments

import (
	"fmt"
	"strings"

	"brink/collector"
	"brink/collector/memory"
	"brink/collector/portrule"
)

// disagreementsShown is how many of the pairs a reason names.
const disagreementsShown = 3

// disagreements names the first pairs with which the kernel dealt otherwise than
// predicted: a sum that is right does not make up for them.
func (r *matrixRun) disagreements() string {
	var found []string
	for i, p := range r.pairs {
		if a := r.answers[i]; a.Refused != p.refused || a.refused() && a.Errno != r.errno {
			found = append(found, fmt.Sprintf("%s: predicted %s, measured %s",
				r.describe(&p), stepInWords(p.refused, p.rule), stepInWords(a.Refused, portrule.Rule(errnoWord(a.Errno)))))
		}
	}
	if len(found) == 0 {
		return ""
	}
	n := min(len(found), disagreementsShown)
	return fmt.Sprintf("%d of %d pairs are not as predicted: %s", len(found), len(r.pairs), strings.Join(found[:n], "; "))
}

func stepInWords(step matrixStep, why portrule.Rule) string {
	words := map[matrixStep]string{
		granted: "no refusal", atPort: "a refusal of the port", atListen: "a refusal to listen",
		atBothBound: "a refusal to listen beside it",
	}[step]
	if step == granted {
		return words
	}
	return fmt.Sprintf("%s (%s)", words, why)
}

// describe is the pair in words: "127.0.0.1 bound (SO_REUSEADDR), then bind(port)
// at [::] dual (both)".
func (r *matrixRun) describe(p *matrixPair) string {
	n := len(matrixOptions)
	return fmt.Sprintf("%s (%s), then %s at %s (%s)",
		r.rows[p.row/n].name, matrixOptions[p.row%n].Name, r.second, r.columns[p.column/n].name, matrixOptions[p.column%n].Name)
}

// attributed wants each refusal told by the kernel once: refused to the process
// that asked, by the process that held, for the reason that the rule has.
func (r *matrixRun) attributed(_ *Bench, _ Measurement, e memory.Evidence) string {
	told := map[uint16][]collector.BindConflict{}
	for _, c := range e.Conflicts {
		told[c.Local.Port()] = append(told[c.Local.Port()], c)
	}
	for i, p := range r.pairs {
		if reason := r.attributedPair(i, told[p.port]); reason != "" {
			return fmt.Sprintf("%s: %s", r.describe(&p), reason)
		}
	}
	return ""
}

func (r *matrixRun) attributedPair(i int, told []collector.BindConflict) string {
	p := r.pairs[i]
	if p.refused == granted && len(told) == 0 {
		return ""
	}
	if p.refused == granted || len(told) != 1 {
		return fmt.Sprintf("the kernel told of %d bind conflicts", len(told))
	}
	asker, holder := r.askers[i].PID(), r.holder.PID()
	if p.refused == atBothBound {
		asker, holder = holder, asker
	}
	c := told[0]
	switch {
	case int(c.Owner.PID) != asker || c.Listening != (p.refused != atPort):
		return fmt.Sprintf("process %d asked, the kernel told of %d (listening: %t)", asker, c.Owner.PID, c.Listening)
	case len(c.Holders) != 1 || int(c.Holders[0].PID) != holder:
		return fmt.Sprintf("its holder is process %d; named were %v", holder, c.Holders)
	case c.Rule() != p.rule:
		return fmt.Sprintf("the rule is %s, the kernel's evidence says %s", p.rule, c.Rule())
	}
	return ""
}
