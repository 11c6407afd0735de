package limits

import (
	"math"
	"slices"
	"testing"
	"time"

	"brink/collector/sockdiag"
)

func TestUtilisation(t *testing.T) {
	for _, test := range []struct {
		used, max uint64
		want      float64
	}{{0, 10, 0}, {5, 10, 0.5}, {12, 10, 1.2}, {0, 0, 1}} {
		r := Reading{Used: test.used, Max: test.max}
		equal(t, "utilisation", r.Utilisation(), test.want)
	}
}

func TestTimeToExhaustion(t *testing.T) {
	for _, test := range []struct {
		r    Reading
		want time.Duration
		ok   bool
	}{
		{Reading{Used: 10, Max: 110, Rate: 50, Rated: true}, 2 * time.Second, true},
		{Reading{Used: 10, Max: 110, Rate: 50}, 0, false}, // not known
		{Reading{Used: 10, Max: 110, Rated: true}, 0, false},
		{Reading{Used: 10, Max: 110, Rate: -1, Rated: true}, 0, false},
		{Reading{Used: 110, Max: 110, Rate: 1, Rated: true}, 0, true},
		{Reading{Used: 0, Max: math.MaxInt64, Rate: 1, Rated: true}, 0, false},
	} {
		d, ok := test.r.TimeToExhaustion()
		if d != test.want || ok != test.ok {
			t.Errorf("%+v: %v, %v", test.r, d, ok)
		}
	}
}

func TestWorstFirst(t *testing.T) {
	list := []Reading{
		{Limit: FileTable, Used: 1, Max: 10},
		{Limit: Threads, Used: 5, Max: 10},
		{Limit: Orphans, Used: 5, Max: 10, Rate: 1, Rated: true},
		{Limit: TCPMemory, Used: 9, Max: 10},
		{Limit: AcceptQueue, Used: 0, Max: 4097},
		{Limit: AcceptQueue, Used: 0, Max: 5},
	}
	slices.SortFunc(list, worse)
	var got []Limit
	for _, r := range list {
		got = append(got, r.Limit)
	}
	if !slices.Equal(got, []Limit{TCPMemory, Orphans, Threads, FileTable, AcceptQueue, AcceptQueue}) || list[4].Max != 5 {
		t.Errorf("%v", got)
	}
}

func TestRates(t *testing.T) {
	at := time.Now()
	earlier := newSample()
	earlier.at = at
	r := Reading{Limit: FileTable, Used: 100}
	earlier.used[r.subject()] = r.Used
	r.Used = 90
	earlier.rate(&r, at.Add(2*time.Second))
	if !r.Rated || r.Rate != -5 {
		t.Errorf("%+v", r)
	}
	other := Reading{Limit: FileDescriptors, PID: 1, Used: 5}
	if earlier.rate(&other, at.Add(time.Second)); other.Rated {
		t.Error("a process that was not there has a rate")
	}
	if (*sample)(nil).rate(&other, at); other.Rated {
		t.Error("the first sample has a rate")
	}
	if earlier.rate(&r, at); r.Rate != -5 {
		t.Error("no time has passed, and there is a rate")
	}
}

// A destination that was not there before had none of its ports taken.
func TestRatesOfPorts(t *testing.T) {
	at := time.Now()
	earlier := newSample()
	earlier.at = at
	earlier.ports[7] = CountPorts(ports(t, "40000 40009", ""), nil)
	list, _ := CountPorts(ports(t, "40000 40009", ""), []sockdiag.Socket{
		socket(established, "10.0.0.1:40000", "10.0.0.2:443"), socket(established, "10.0.0.1:40001", "10.0.0.2:443"),
	}).readings(3, false)
	list[0].Netns = 7
	earlier.rate(&list[0], at.Add(time.Second))
	if !list[0].Rated || list[0].Rate != 2 {
		t.Errorf("%+v", list[0])
	}
	list[0].Rated, list[0].Netns = false, 8
	if earlier.rate(&list[0], at.Add(time.Second)); list[0].Rated {
		t.Error("a namespace that was not there has a rate")
	}
}
