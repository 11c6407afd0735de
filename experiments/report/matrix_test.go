package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brink/experiments"
)

// withMatrix has two legs with the same second sockets, and one with others.
func withMatrix() experiments.Result {
	r := held()
	r.Experiment = "bind-matrix"
	options := []experiments.MatrixAxis{{Code: "-", Name: "neither"}, {Code: "a", Name: "SO_REUSEADDR"}}
	here, there := experiments.MatrixAxis{Code: "4=", Name: "here"}, experiments.MatrixAxis{Code: "6#", Name: "over there"}
	leg := func(second, first string, columns []experiments.MatrixAxis, cells ...string) experiments.LegResult {
		return experiments.LegResult{Name: first, Matrix: &experiments.Matrix{
			Second: second, About: second + " at length", Options: options, Columns: columns,
			Rows: []experiments.MatrixAxis{{Name: first}}, Cells: cells,
			Legend: map[string]string{"+": "they share", cells[0][:1]: "they do not"},
		}}
	}
	both := []experiments.MatrixAxis{here, there}
	r.Legs = []experiments.LegResult{
		leg("bind", "one", both, "AA++", "A+++"), leg("bind", "a second one", both, "HHHH", "HHHH"),
		leg("connect", "one", both[1:], "T+", "+T"), {Name: "without"},
	}
	return r
}

func TestMatrix(t *testing.T) {
	var b bytes.Buffer
	Matrix(&b, withMatrix())
	MatrixWhole(&b, withMatrix())
	golden(t, "matrix.txt", b.Bytes())
}

// TestMatrices: a run of one experiment shows its matrix, a longer one names it.
func TestMatrices(t *testing.T) {
	var alone, among, none bytes.Buffer
	Matrices(&alone, []experiments.Result{withMatrix()}, "out")
	if !strings.HasPrefix(alone.String(), "\nthe first socket") {
		t.Errorf("alone: %s", alone.String())
	}
	Matrices(&among, []experiments.Result{held(), withMatrix()}, "out")
	if want := "\nbind-matrix: 20 pairs of sockets, drawn in out/bind-matrix.txt\n"; among.String() != want {
		t.Errorf("among others: %q, want %q", among.String(), want)
	}
	Matrices(&none, []experiments.Result{held()}, "out")
	if none.Len() > 0 {
		t.Errorf("without a matrix: %q", none.String())
	}
}

// TestMatrixFile: it is there only if the run had one.
func TestMatrixFile(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []experiments.Result{withMatrix(), held()} {
		f, err := Create(dir)
		noError(t, err)
		noError(t, f.Add(r))
		noError(t, f.Close())
		_, err = os.Stat(filepath.Join(dir, MatrixFile))
		if (err == nil) != hasMatrix(r) {
			t.Errorf("%s: %v", r.Experiment, err)
		}
	}
}
