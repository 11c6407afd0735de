package main

import (
	"math"
	"slices"
)

// A spread is what several rounds came to.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// spreadOf sorts its argument.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	n := len(values)
	return spread{
		Median: (values[(n-1)/2] + values[n/2]) / 2,
		Least:  values[0],
		Most:   values[n-1],
	}
}
