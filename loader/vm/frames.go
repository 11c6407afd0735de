package vm

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A decoder turns the guest's framed line into a Result:
//
//	@up RELEASE            set up, about to run the commands
//	@begin N               command N starts
//	|text                  a line of its output, and after the last one an
//	                       empty line, or the rest that had no newline
//	@exit N STATUS         command N ended
//	@file N SIZE           file N follows in base64
//	|base64
//	@end
//	@fail STEP: MESSAGE    setup failed; nothing follows
//	@done                  all results were sent
//
// Anything else is damage, and an error: results with a hole would be worse
// than none.
type decoder struct {
	guest  Guest
	result *Result
	start  time.Time

	command int // the open command, or none
	file    int // the open file, or none
	size    int
	body    strings.Builder
	lines   int // of the open command's output
	held    int // empty ones among them not yet shown
	began   time.Time
	done    bool
}

const none = -1

func newDecoder(g Guest, result *Result, start time.Time) *decoder {
	result.Files = map[string][]byte{}
	return &decoder{guest: g, result: result, start: start, command: none, file: none}
}

// decode reads frames until @done or the end of the input, which is
// ErrTruncated unless @done came.
func (d *decoder) decode(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for !d.done {
		line, err := lines.ReadString('\n')
		if err != nil {
			d.abandon()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(ErrTruncated, err)
		}
		if err := d.line(strings.TrimSuffix(line, "\n")); err != nil {
			d.abandon()
			return err
		}
	}
	return nil
}

// line takes one line without its newline.
func (d *decoder) line(line string) error {
	if text, ok := strings.CutPrefix(line, "|"); ok {
		return d.text(text)
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "@up":
		d.result.Release, d.result.Boot = rest, time.Since(d.start)
		return nil
	case "@begin":
		return d.begin(rest)
	case "@exit":
		return d.exit(rest)
	case "@file":
		return d.openFile(rest)
	case "@end":
		return d.closeFile()
	case "@fail":
		return fmt.Errorf("%w: %s", ErrSetup, rest)
	case "@done":
		return d.finish()
	}
	return d.damaged(line)
}

func (d *decoder) damaged(line string) error {
	return fmt.Errorf("%w: unexpected line %.80q", ErrTruncated, line)
}

func (d *decoder) text(text string) error {
	switch {
	case d.command != none:
		return d.outputLine(text)
	case d.file != none:
		d.body.WriteString(text)
		return nil
	}
	return d.damaged("|" + text)
}

// outputLine joins lines with the newlines between them, which leaves out the
// one that the guest added at the end. The live output always gets whole
// lines; an empty one waits there until it is known not to be that end.
func (d *decoder) outputLine(text string) error {
	if d.lines > 0 {
		d.body.WriteByte('\n')
	}
	d.lines++
	d.body.WriteString(text)
	if text == "" {
		d.held++
		return nil
	}
	for ; d.held > 0; d.held-- {
		if _, err := io.WriteString(d.guest.Output, "\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(d.guest.Output, text+"\n")
	return err
}

func (d *decoder) begin(rest string) error {
	var n int
	if _, err := fmt.Sscanf(rest, "%d", &n); err != nil || !d.idle() ||
		n != len(d.result.Commands) || n >= len(d.guest.Commands) {
		return d.damaged("@begin " + rest)
	}
	d.command, d.began = n, time.Now()
	d.body.Reset()
	d.lines, d.held = 0, 0
	return nil
}

func (d *decoder) exit(rest string) error {
	var n, status int
	if _, err := fmt.Sscanf(rest, "%d %d", &n, &status); err != nil || d.command == none || n != d.command {
		return d.damaged("@exit " + rest)
	}
	d.closeCommand(status)
	return nil
}

func (d *decoder) closeCommand(status int) {
	d.result.Commands = append(d.result.Commands, CommandResult{
		Command:  d.guest.Commands[d.command],
		Status:   status,
		Output:   d.body.String(),
		Duration: time.Since(d.began),
	})
	d.command = none
}

// abandon keeps the output of a command that never ended: after a panic or a
// hang it is the best hint there is. Status -1 marks it.
func (d *decoder) abandon() {
	if d.command != none {
		d.closeCommand(-1)
	}
}

func (d *decoder) openFile(rest string) error {
	var n int
	if _, err := fmt.Sscanf(rest, "%d %d", &n, &d.size); err != nil || !d.idle() ||
		n < 0 || n >= len(d.guest.Fetch) {
		return d.damaged("@file " + rest)
	}
	d.file = n
	d.body.Reset()
	return nil
}

func (d *decoder) closeFile() error {
	if d.file == none {
		return d.damaged("@end")
	}
	name := d.guest.Fetch[d.file]
	body, err := base64.StdEncoding.DecodeString(d.body.String())
	if err != nil || len(body) != d.size {
		return fmt.Errorf("%w: file %s: %d of %d bytes", ErrTruncated, name, len(body), d.size)
	}
	d.result.Files[name] = body
	d.file = none
	return nil
}

func (d *decoder) finish() error {
	if !d.idle() || len(d.result.Commands) != len(d.guest.Commands) {
		return d.damaged("@done")
	}
	d.done = true
	return nil
}

func (d *decoder) idle() bool { return d.command == none && d.file == none }
