package report

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"brink/experiments"
)

// Matrices shows the matrix of a run of one experiment, and of a longer one where
// it is.
func Matrices(w io.Writer, results []experiments.Result, dir string) {
	for _, r := range results {
		switch {
		case !hasMatrix(r):
		case len(results) == 1:
			fmt.Fprintln(w)
			Matrix(w, r)
		default:
			fmt.Fprintf(w, "\n%s: %d pairs of sockets, drawn in %s\n", r.Experiment, newDrawing(r).pairs(), filepath.Join(dir, MatrixFile))
		}
	}
}

func hasMatrix(r experiments.Result) bool {
	return slices.ContainsFunc(r.Legs, func(leg experiments.LegResult) bool { return leg.Matrix != nil })
}

// Matrix draws an experiment's matrices side by side, narrow enough for a
// terminal: one sign for each row's sockets against each column's, which is the
// pairs' own symbol if it is the same for all their options, else the number of a
// block that is drawn below. Nothing is left out.
func Matrix(w io.Writer, r experiments.Result) {
	d := newDrawing(r)
	d.heading()
	for _, row := range d.rows {
		d.printf("%-*s", d.margin, row)
		for _, s := range d.sheets {
			d.printf("  %-*s", s.width(), d.signs(s, row))
		}
		d.printf("\n")
	}
	d.drawBlocks()
	d.legend()
	d.writeTo(w)
}

const corner = "the first socket"

// heading has the columns' codes upright.
func (d *drawing) heading() {
	d.printf("%-*s", d.margin, corner)
	for _, s := range d.sheets {
		d.printf("  %-*s", s.width(), s.second)
	}
	for i, word := range []string{"the second: family", "            address"} {
		d.printf("\n%-*s", d.margin, word)
		for _, s := range d.sheets {
			codes := ""
			for _, c := range s.columns {
				codes += c.Code[i : i+1]
			}
			d.printf("  %-*s", s.width(), codes)
		}
	}
	d.printf("\n")
}

// signs are a row of one sheet.
func (d *drawing) signs(s *sheet, row string) (signs string) {
	for j := range s.columns {
		block := ""
		for _, line := range s.cells[row] {
			block += line[j]
		}
		signs += d.sign(block)
	}
	return signs
}

// sign is the block's symbol, or its number. A row that a sheet does not have has
// no block there.
func (d *drawing) sign(block string) string {
	switch {
	case block == "":
		return " "
	case strings.Count(block, block[:1]) == len(block):
		return block[:1]
	}
	i := slices.Index(d.blocks, block)
	if i < 0 {
		i = len(d.blocks)
		d.blocks = append(d.blocks, block)
	}
	return blockSign(i)
}

// blockSign is a number for each block; were there too many, the rest would share
// the last one.
func blockSign(i int) string {
	const signs = "1234567890?"
	i = min(i, len(signs)-1)
	return signs[i : i+1]
}

// drawBlocks draws what the numbers stand for, the first socket's options
// downwards and the second's across.
func (d *drawing) drawBlocks() {
	if len(d.blocks) == 0 {
		return
	}
	d.printf("\n%*s", d.margin, "")
	for i := range d.blocks {
		d.printf("  %s %s", blockSign(i), codes(d.options))
	}
	n := len(d.options)
	for i, option := range d.options {
		d.printf("\n%*s", d.margin, "")
		for _, block := range d.blocks {
			d.printf("  %s %s", option.Code, block[i*n:(i+1)*n])
		}
	}
	d.printf("\n")
}

// legend says what all signs mean.
func (d *drawing) legend() {
	d.printf("\n")
	for _, symbol := range d.symbols() {
		d.printf("%s   %s\n", symbol, d.meaning[symbol])
	}
	d.printf("1…  pairs that differ in options, of the first socket downwards and the second across: %s\n\n", words(d.options))
	for _, s := range d.sheets {
		d.printf("%s: %s\n", s.second, s.about)
	}
	var columns []experiments.MatrixAxis
	for _, s := range d.sheets {
		for _, c := range s.columns {
			if !slices.ContainsFunc(columns, func(known experiments.MatrixAxis) bool { return known.Code == c.Code }) {
				columns = append(columns, c)
			}
		}
	}
	d.printf("family, address: %s\n", words(columns))
}

func words(all []experiments.MatrixAxis) string {
	var words []string
	for _, a := range all {
		words = append(words, a.Code+" "+a.Name)
	}
	return strings.Join(words, ", ")
}

func codes(all []experiments.MatrixAxis) (codes string) {
	for _, a := range all {
		codes += a.Code
	}
	return codes
}
