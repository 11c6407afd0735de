package main

import (
	"fmt"
	"os"
	"os/signal"

	"brink/loader"
)

// hollow is brink's programs with nothing in them: what the kernel takes for calling
// them, below which no tracer at these places can come.
const hollow = "hollow"

const hollowReady = "hollow programs attached"

func hollowTracer(rung string) tracer {
	t := tracer{name: hollow, args: []string{"/proc/self/exe", asHollow, hollow}, attached: hollowReady}
	return t.at(rung)
}

// beHollow is called with what hollowTracer says, a rung after its flag at most.
func beHollow(args []string) error {
	rung, err := loader.ParseRung("")
	if len(args) == 3 {
		rung, err = loader.ParseRung(args[2])
	}
	if err != nil {
		return err
	}
	t, err := loader.Attach(loader.Options{Best: rung, Tally: true, Hollow: true})
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.Blocked(); err != nil {
		return fmt.Errorf("attach hollow programs: %w", err)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	fmt.Fprintln(os.Stderr, hollowReady)
	<-interrupted
	return nil
}
