package main

import (
	"fmt"
	"io"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/experiments/theory"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

func theoryJSON(w io.Writer, q question) error {
	for _, a := range append(theory.Ladder(q.machines, q.ports), theory.Practice(q.machines, q.ports)...) {
		if _, err := w.Write(jsonl.Marshal("theory", func(v collector.Visitor) { visitAnswer(v, a) })); err != nil {
			return err
		}
	}
	return nil
}

func visitAnswer(v collector.Visitor, a theory.Answer) {
	v.String("name", a.Name)
	v.String("formula", a.Formula)
	v.Object("inputs", func(v collector.Visitor) {
		for _, in := range a.Inputs {
			v.String(in.Name, in.Value.String())
		}
	})
	v.String("value", a.Value.String())
	v.Float("log2", theory.Log2(a.Value)) // left out for none at all
	v.String("unit", a.Unit)
	v.String("why", a.Why)
	v.String("why_not", a.WhyNot)
}

// theoryText tells each answer's argument, and behind "but" what leads to the
// next one.
func theoryText(w io.Writer, q question) {
	fmt.Fprintf(w, "In theory: n machines have m ports each. How many TCP connections can there be?\n"+
		"n = %s, m = %s\n\n", theory.Grouped(q.machines), theory.Grouped(q.ports))
	answers := theory.Ladder(q.machines, q.ports)
	answersText(w, answers)
	practice := theory.Practice(q.machines, q.ports)
	fmt.Fprintf(w, "\nOn Linux: one server address and port, C = %s clients with P = %s ports each\n\n",
		theory.Grouped(practice[0].Inputs[0].Value), theory.Grouped(practice[0].Inputs[1].Value))
	answersText(w, practice)
}

func answersText(w io.Writer, answers []theory.Answer) {
	t := newTable(w)
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, WidthMax: 64, WidthMaxEnforcer: text.WrapSoft}})
	t.AppendHeader(table.Row{"answer", answers[0].Unit, "because"})
	for i, a := range answers {
		if i > 0 {
			t.AppendRow(table.Row{""})
		}
		t.AppendRow(table.Row{a.Formula, answerValue(a, answers[0].Unit), a.Why})
		t.AppendRow(table.Row{"", "", "but " + a.WhyNot})
	}
	t.Render()
}

// answerValue has the unit where it is not the column's.
func answerValue(a theory.Answer, unit string) string {
	value := theory.Grouped(a.Value)
	if a.Unit != unit {
		value += " " + a.Unit
	}
	if power := theory.PowerOfTwo(a.Value); power != "" {
		value += "\n" + power
	}
	return value
}
