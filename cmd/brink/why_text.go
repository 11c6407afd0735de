package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"brink/collector"
	"brink/collector/diagnosis"
	"brink/collector/jsonl"

	"github.com/jedib0t/go-pretty/v6/text"
)

// whyText is the verdict, what speaks for it, what to do, and what is not known.
func whyText(w io.Writer, d *diagnosis.Diagnosis) error {
	var b bytes.Buffer
	whyParagraph(&b, "", d.Verdict)
	var evidence, unknown []string
	for i := range d.Findings {
		f := &d.Findings[i]
		switch {
		case f.Kind == diagnosis.Unknown:
			unknown = append(unknown, f.Text)
		case f.Source != "":
			evidence = append(evidence, fmt.Sprintf("%s [%s]", f.Text, f.Source))
		default:
			evidence = append(evidence, f.Text)
		}
	}
	whySection(&b, "EVIDENCE", evidence)
	var todo []string
	for _, fix := range d.Fixes() {
		todo = append(todo, whyFix(fix))
	}
	whySection(&b, "WHAT TO DO", todo)
	whySection(&b, "UNKNOWN", unknown)
	_, err := w.Write(b.Bytes())
	return err
}

// whyFix is a sentence, unless it begins with a command or the name of a setting.
func whyFix(f diagnosis.Fix) string {
	s := f.Advice
	first, _, _ := strings.Cut(s, " ")
	if !slices.Contains([]string{"sysctl", "prlimit", "ip"}, first) && !strings.ContainsAny(first, "(.") {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	if f.Cost == "" {
		return s + "."
	}
	return s + ". Cost: " + f.Cost + "."
}

func whySection(w io.Writer, head string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", head)
	for _, s := range sentences {
		whyParagraph(w, "- ", s)
	}
}

// whyParagraph breaks a sentence; what a process is called reaches the terminal
// as text alone.
func whyParagraph(w io.Writer, mark, sentence string) {
	indent := strings.Repeat(" ", len(mark))
	for line := range strings.SplitSeq(text.WrapSoft(printable(sentence), sentenceWidth-len(mark)), "\n") {
		fmt.Fprintln(w, mark+strings.TrimRight(line, " ")) // WrapSoft pads
		mark = indent
	}
}

// whyJSON is a line for the diagnosis, then one for each finding.
func whyJSON(w io.Writer, d *diagnosis.Diagnosis) error {
	var b bytes.Buffer
	b.Write(jsonl.Marshal("diagnosis", func(v collector.Visitor) { d.Visit(v) }))
	for i := range d.Findings {
		b.Write(jsonl.Marshal("finding", d.Findings[i].Visit))
	}
	_, err := w.Write(b.Bytes())
	return err
}
