package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves a subcommand's flags in front of its arguments, since people
// write `brink run ephemeral-ports --full` and the flag package stops at the
// first argument. What follows "--" stays where it is.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 3 {
		return args
	}
	command := app.Command(args[1])
	if command == nil {
		return args
	}
	var flags, rest []string
	for tail := args[2:]; len(tail) > 0; tail = tail[1:] {
		arg := tail[0]
		switch {
		case arg == "--":
			return slices.Concat(args[:2], flags, rest, tail)
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
		case takesValue(command, arg) && len(tail) > 1:
			flags = append(flags, arg, tail[1])
			tail = tail[1:]
		default:
			flags = append(flags, arg)
		}
	}
	return slices.Concat(args[:2], flags, rest)
}

// takesValue reports whether the next argument belongs to this flag.
func takesValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	for _, f := range command.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		documented, ok := f.(cli.DocGenerationFlag)
		return ok && documented.TakesValue()
	}
	return false
}
