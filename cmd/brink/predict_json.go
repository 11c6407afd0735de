package main

import (
	"io"

	"brink/collector"
	"brink/collector/jsonl"
)

func boundsJSON(w io.Writer, to target, bounds []bound) error {
	for i, b := range bounds {
		line := jsonl.Marshal("prediction", func(v collector.Visitor) {
			b.visit(v)
			to.visit(v)
			if i == 0 { // ranked, so that it is among those that are compared
				v.Bool("smallest", true)
			}
		})
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (b *bound) visit(v collector.Visitor) {
	v.String(collector.KeyLimit, b.limit)
	v.String("scope", string(b.scope))
	v.Uint("value", b.value)
	if b.atMost > b.value {
		v.Uint("at_most", b.atMost)
	}
	v.String("unit", b.unit)
	v.String("formula", b.formula)
	v.Object("inputs", func(v collector.Visitor) {
		for _, in := range b.inputs {
			v.Uint(in.name, in.value)
		}
	})
	if b.hasUse() {
		v.Uint("used", b.used)
		v.Uint("free", b.free())
	}
	v.String("brink.limit.knob", b.knob)
	v.String("todo", b.lifts)
	if b.note != "" {
		v.String("note", b.note)
	}
}

// visit tells both addresses, if they are known.
func (t *target) visit(v collector.Visitor) {
	if !t.to.IsValid() {
		return
	}
	v.String(collector.KeyLocalAddress, t.source.String())
	v.String(collector.KeyPeerAddress, t.to.Addr().String())
	v.Uint(collector.KeyPeerPort, uint64(t.to.Port()))
}
