package experiments

import (
	"slices"
	"syscall"
	"unicode"

	"brink/collector/portrule"
)

// Matrix is the picture of a leg whose cells are pairs: who came first, and who
// asked for the same port then.
type Matrix struct {
	// Second is how the columns' sockets ask for the port, About the same at length.
	Second  string       `json:"second"`
	About   string       `json:"about"`
	Rows    []MatrixAxis `json:"rows"`
	Columns []MatrixAxis `json:"columns"`
	// Options are those of the sockets in each row and column, which stands for as
	// many of them.
	Options []MatrixAxis `json:"options"`
	// Cells has a line for each first socket, and in it a symbol for each second.
	Cells  []string          `json:"cells"`
	Legend map[string]string `json:"legend"`
}

// MatrixAxis is a row, a column or an option. Code is its name for narrow places:
// two characters of a column, one of an option.
type MatrixAxis struct {
	Code string `json:"code,omitempty"`
	Name string `json:"name"`
}

// The symbols of a cell that no rule stands for.
const (
	symbolShares = '+'
	symbolWrong  = '!'
)

// matrixSymbols are the rules' letters; a small one where only listen() refuses.
var matrixSymbols = map[portrule.Rule]rune{
	portrule.AskerWithoutReuseAddr: 'A', portrule.HolderWithoutReuseAddr: 'H', portrule.HolderListens: 'L',
	portrule.DualStack: 'D', portrule.AddressesOverlap: 'O', portrule.MadeByBind: 'B', portrule.SameTuple: 'T',
}

func (r *matrixRun) matrix() *Matrix {
	m := &Matrix{
		Second: r.second, About: r.about, Rows: axis(r.rows), Columns: axis(r.columns),
		Options: matrixOptions, Legend: map[string]string{},
	}
	width := len(m.Columns) * len(matrixOptions)
	for line := range slices.Chunk(r.answers, width) {
		cells := make([]rune, width)
		for j, a := range line {
			var meaning string
			cells[j], meaning = r.pairs[len(m.Cells)*width+j].symbol(a, r.errno)
			m.Legend[string(cells[j])] = meaning
		}
		m.Cells = append(m.Cells, string(cells))
	}
	return m
}

// symbol is the cell's, and what it means.
func (p *matrixPair) symbol(a matrixAnswer, errno syscall.Errno) (rune, string) {
	switch {
	case a.Refused != p.refused || a.refused() && a.Errno != errno:
		return symbolWrong, "not as predicted"
	case !a.refused():
		return symbolShares, "they share the port"
	case a.Refused == atPort:
		return matrixSymbols[p.rule], p.rule.Sentence()
	}
	return unicode.ToLower(matrixSymbols[p.rule]), "they share it, but do not both listen: " + p.rule.Sentence()
}

func axis(groups []matrixGroup) (axis []MatrixAxis) {
	for _, g := range groups {
		axis = append(axis, MatrixAxis{g.code, g.name})
	}
	return axis
}
