package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// An operation ties what brink asks to what a worker does, so that both sides
// agree on the types: define("listen", (*inside).listen) is the whole of it.
type operation[A, R any] struct{ name string }

// none stands for no argument, or no result.
type none struct{}

// handlers are the operations by name. Filled while the package initialises,
// then only read.
var handlers = map[string]func(*inside, *request) (any, error){}

func define[A, R any](name string, run func(*inside, A) (R, error)) operation[A, R] {
	return defineWithFile(name, func(in *inside, arguments A, _ *os.File) (R, error) {
		return run(in, arguments)
	})
}

// defineWithFile is define for an operation that is handed a descriptor.
func defineWithFile[A, R any](name string, run func(*inside, A, *os.File) (R, error)) operation[A, R] {
	if handlers[name] != nil {
		panic("lab: operation " + name + " is defined twice")
	}
	handlers[name] = func(in *inside, q *request) (any, error) {
		var arguments A
		if err := json.Unmarshal(q.Arguments, &arguments); err != nil {
			return nil, fmt.Errorf("arguments of %s: %w", name, err)
		}
		return run(in, arguments, q.file)
	}
	return operation[A, R]{name: name}
}

// call asks the worker behind c. When ctx ends it returns at once; the worker
// may still be at it, so the caller closes the worker or the lab.
func (o operation[A, R]) call(ctx context.Context, c *control, arguments A) (R, error) {
	return o.callWithFile(ctx, c, arguments, nil)
}

func (o operation[A, R]) callWithFile(ctx context.Context, c *control, arguments A, file *os.File) (R, error) {
	var result R
	words, err := json.Marshal(arguments)
	if err != nil {
		return result, fmt.Errorf("arguments of %s: %w", o.name, err)
	}
	answer, err := c.ask(ctx, &request{Operation: o.name, Arguments: words, file: file})
	if err != nil {
		return result, fmt.Errorf("%s: %w", o.name, err)
	}
	if answer.Failure != nil {
		return result, answer.Failure.error()
	}
	return result, json.Unmarshal(answer.Value, &result)
}
