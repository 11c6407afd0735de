package main

import (
	"fmt"
	"io"
	"math/big"
	"strings"

	"brink/experiments/theory"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// grouped writes a number as 28,232.
func grouped(n uint64) string { return theory.Grouped(new(big.Int).SetUint64(n)) }

func boundsText(w io.Writer, to target, bounds []bound) {
	fmt.Fprintf(w, "From %s: how many TCP connections can stand at once?\n\n", to.String())
	n := 0
	for n < len(bounds) && bounds[n].compared() {
		n++
	}
	boundsTable(w, bounds[:n], "connections")
	fmt.Fprintln(w)
	for line := range strings.SplitSeq(text.WrapSoft(order(bounds[:n]), sentenceWidth), "\n") {
		fmt.Fprintln(w, strings.TrimRight(line, " ")) // WrapSoft pads
	}
	fmt.Fprint(w, "\nThese limits count something else, and are not compared:\n\n")
	boundsTable(w, bounds[n:], "at most")
}

// sentenceWidth is where running text breaks.
const sentenceWidth = 100

func boundsTable(w io.Writer, bounds []bound, value string) {
	t := newTable(w)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 4, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 5, WidthMax: 64, WidthMaxEnforcer: text.WrapSoft},
	})
	t.AppendHeader(table.Row{"limit", value, "in use", "free", "of what, by which formula, and what lifts it"})
	for i := range bounds {
		if i > 0 {
			t.AppendRow(table.Row{""})
		}
		for _, row := range bounds[i].rows() {
			t.AppendRow(row)
		}
	}
	t.Render()
}

// rows are one bound: the numbers, then a line for each thing to know.
func (b *bound) rows() []table.Row {
	var used, free string
	if b.hasUse() {
		used, free = grouped(b.used), grouped(b.free())
	}
	what := fmt.Sprintf("%s %s", b.unit, b.scope.phrase())
	rows := []table.Row{{b.limit, b.span(), used, free, what}}
	for _, line := range []string{b.formulaText(), "knob: " + b.knob, b.note, "to lift it: " + b.lifts} {
		if line != "" {
			rows = append(rows, table.Row{"", "", "", "", line})
		}
	}
	return rows
}

// span is a value, or two where the kernel decides between them.
func (b *bound) span() string {
	if b.atMost > b.value {
		return grouped(b.value) + " or " + grouped(b.atMost)
	}
	return grouped(b.value)
}

// formulaText is the formula with its inputs, unless it is one of them.
func (b *bound) formulaText() string {
	if len(b.inputs) == 1 && b.inputs[0].name == b.formula {
		return ""
	}
	var inputs []string
	for _, in := range b.inputs {
		inputs = append(inputs, in.name+" "+grouped(in.value))
	}
	return b.formula + ": " + strings.Join(inputs, ", ")
}

// order says which limit a program meets first that opens connections to one
// destination and keeps them, and which ones when that is out of the way.
func order(bounds []bound) string {
	var parts []string
	for i := range bounds {
		b := &bounds[i]
		part := fmt.Sprintf("%s, %s more %s", b.limit, grouped(b.free()), b.scope.phrase())
		if i == 0 {
			part = "One program opens connections to one destination and keeps them. The first limit that it meets: " + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; then ") + "."
}
