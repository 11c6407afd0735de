package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A goRow is one Go benchmark: of what happens to one record in user space.
type goRow struct {
	Name        string `json:"name"` // with its package's last word
	Time        spread `json:"ns"`
	Allocations spread `json:"allocations"`
}

// decodeAndTable is the benchmark with a goal.
const decodeAndTable = "collector.ApplyConnection"

// readGoBenchmarks reads what `go test -bench` has printed, as benchstat does.
func readGoBenchmarks(from io.Reader) (rows []goRow, err error) {
	var names []string
	values := map[string]map[string][]float64{} // by name, by unit
	pkg := ""
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 2 && fields[0] == "pkg:":
			pkg = path.Base(fields[1])
		case len(fields) >= 4 && strings.HasPrefix(fields[0], "Benchmark"):
			name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
			name = pkg + "." + name
			if values[name] == nil {
				names, values[name] = append(names, name), map[string][]float64{}
			}
			for i := 2; i+1 < len(fields); i += 2 {
				value, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return nil, fmt.Errorf("go benchmark %q: %w", lines.Text(), err)
				}
				values[name][fields[i+1]] = append(values[name][fields[i+1]], value)
			}
		}
	}
	for _, name := range names {
		rows = append(rows, goRow{name, spreadOf(values[name]["ns/op"]), spreadOf(values[name]["allocs/op"])})
	}
	return rows, lines.Err()
}

func goBenchmarks(name string) ([]goRow, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readGoBenchmarks(file)
}

func goGoals(rows []goRow) []goal {
	i := slices.IndexFunc(rows, func(r goRow) bool { return r.Name == decodeAndTable })
	if i < 0 {
		return nil
	}
	return []goal{
		newGoal("decode and table, a record", rows[i].Time.Median, 100, "ns"),
		newGoal("decode and table, a record", rows[i].Allocations.Median, 0, "allocations"),
	}
}

func printGoRows(w io.Writer, rows []goRow) {
	if len(rows) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\na record in user space\tns\tleast…most\tallocations")
	for _, r := range rows {
		fmt.Fprintf(t, "  %s\t%.0f\t%.0f…%.0f\t%.0f\n", r.Name, r.Time.Median, r.Time.Least, r.Time.Most, r.Allocations.Median)
	}
	t.Flush()
}
