package report

import (
	"encoding/json"
	"fmt"
	"io"

	"brink/experiments"

	"github.com/jedib0t/go-pretty/v6/table"
)

// List renders the catalogue, grouped.
func List(t table.Writer, all []experiments.Experiment) {
	t.AppendHeader(table.Row{"experiment", "question", "prediction", "takes"})
	var group experiments.Group
	for _, e := range all {
		if e.Group != group {
			group = e.Group
			t.AppendRow(table.Row{string(group)})
		}
		t.AppendRow(table.Row{"  " + e.Name, e.Question, e.Expect, fmt.Sprint(e.Takes)})
	}
	t.Render()
}

type listed struct {
	Experiment string  `json:"experiment"`
	Group      string  `json:"group"`
	Question   string  `json:"question"`
	Prediction string  `json:"prediction"`
	Limit      string  `json:"limit"`
	Takes      float64 `json:"expected_seconds"`
}

// ListJSON writes the catalogue, a line an experiment.
func ListJSON(w io.Writer, all []experiments.Experiment) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, e := range all {
		if err := encoder.Encode(listed{
			Experiment: e.Name, Group: string(e.Group), Question: e.Question,
			Prediction: e.Expect, Limit: e.Limit.String(), Takes: e.Takes.Seconds(),
		}); err != nil {
			return err
		}
	}
	return nil
}
