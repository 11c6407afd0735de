package report

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"brink/experiments"
)

// drawing is the matrices of all legs, those with the same second sockets as one
// sheet, and what is drawn of them.
type drawing struct {
	strings.Builder
	rows    []string
	margin  int
	options []experiments.MatrixAxis
	sheets  []*sheet
	blocks  []string // the numbered ones
	meaning map[string]string
}

// sheet is what has one kind of second socket.
type sheet struct {
	second, about string
	columns       []experiments.MatrixAxis
	// cells of a row: a line for each option of the first socket, and in it for
	// each column the symbols of its options.
	cells map[string][][]string
}

func newDrawing(r experiments.Result) *drawing {
	d := &drawing{margin: len(corner), meaning: map[string]string{}}
	for _, leg := range r.Legs {
		if leg.Matrix != nil {
			d.add(leg.Matrix)
		}
	}
	return d
}

func (d *drawing) add(m *experiments.Matrix) {
	i := slices.IndexFunc(d.sheets, func(s *sheet) bool { return s.second == m.Second })
	if i < 0 {
		i = len(d.sheets)
		d.sheets = append(d.sheets, &sheet{second: m.Second, about: m.About, columns: m.Columns, cells: map[string][][]string{}})
	}
	maps.Copy(d.meaning, m.Legend)
	d.options = m.Options
	n := len(m.Options)
	for j, row := range m.Rows {
		if !slices.Contains(d.rows, row.Name) {
			d.rows = append(d.rows, row.Name)
			d.margin = max(d.margin, utf8.RuneCountInString(row.Name))
		}
		for _, line := range m.Cells[j*n : (j+1)*n] {
			var columns []string
			for k := range m.Columns {
				columns = append(columns, line[k*n:(k+1)*n])
			}
			d.sheets[i].cells[row.Name] = append(d.sheets[i].cells[row.Name], columns)
		}
	}
}

// pairs is how many there are.
func (d *drawing) pairs() (n int) {
	for _, s := range d.sheets {
		n += len(s.cells) * len(s.columns) * len(d.options) * len(d.options)
	}
	return n
}

func (d *drawing) symbols() []string { return slices.Sorted(maps.Keys(d.meaning)) }

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

var trailing = regexp.MustCompile(` +\n`)

// writeTo writes what is drawn, without the spaces at the lines' ends.
func (d *drawing) writeTo(w io.Writer) {
	io.WriteString(w, trailing.ReplaceAllString(d.String(), "\n"))
}

func (s *sheet) width() int { return max(len(s.columns), utf8.RuneCountInString(s.second)) }

// MatrixWhole draws every pair, sheet after sheet.
func MatrixWhole(w io.Writer, r experiments.Result) {
	d := newDrawing(r)
	for _, s := range d.sheets {
		d.printf("\n%s: %s\n", s.second, s.about)
		for _, word := range []func(experiments.MatrixAxis) string{
			func(c experiments.MatrixAxis) string { return c.Name },
			func(experiments.MatrixAxis) string { return codes(d.options) },
		} {
			d.printf("%-*s   ", d.margin, "")
			for _, c := range s.columns {
				d.printf(" %-*s", wide(c), word(c))
			}
			d.printf("\n")
		}
		for _, row := range d.rows {
			d.wholeRow(s, row)
		}
	}
	d.writeTo(w)
}

func (d *drawing) wholeRow(s *sheet, row string) {
	for i, line := range s.cells[row] {
		d.printf("%-*s %s ", d.margin, row, d.options[i].Code)
		for j, c := range s.columns {
			d.printf(" %-*s", wide(c), line[j])
		}
		d.printf("\n")
	}
}

func wide(c experiments.MatrixAxis) int { return max(4, utf8.RuneCountInString(c.Name)) }
