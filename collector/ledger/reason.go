package ledger

import (
	"fmt"
	"strings"
)

// reason puts into words why there is no balance, or what may be behind a
// difference.
func (a *account) reason(differences []Difference) string {
	switch {
	case a.o.Filtered != "":
		return "no balance: " + a.o.Filtered + " lets a part through, and the kernel counts the whole namespace"
	case a.closed != "":
		return "no balance: " + a.closed
	case a.settled == nil:
		return "no balance: there was no last reading"
	}
	for _, d := range differences {
		if d.By != 0 {
			return a.doubts()
		}
	}
	return ""
}

func (a *account) doubts() string {
	var why []string
	lost := uint64(0)
	if a.o.Lost != nil {
		lost = a.o.Lost()
	}
	for _, doubt := range []struct {
		holds bool
		words string
	}{
		{lost > 0, fmt.Sprintf("on the whole host %d events were not told", lost)},
		{a.opened.Moved || a.settled.Moved, "sockets came and went while the counters were read"},
		{a.opened.At.IsZero(), "the namespace may be older than the first that was seen of it"},
		{a.heir, "an earlier namespace had its number"},
		{a.untracked > 0, fmt.Sprintf("%d entries found no room in the ledger", a.untracked)},
		{a.strangers > 0, fmt.Sprintf("%d timewait sockets entered unseen", a.strangers)},
		{!a.o.Hooked && !a.settled.listed, "the kernel did not list its timewait sockets"},
	} {
		if doubt.holds {
			why = append(why, doubt.words)
		}
	}
	if len(why) == 0 {
		return "something was not told, or told wrongly"
	}
	return strings.Join(why, "; ")
}
