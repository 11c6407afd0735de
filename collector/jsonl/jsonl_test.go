package jsonl

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brink/collector"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) { compare(t, e.name, line(e.fact)) })
	}
}

// Each line is one JSON object whose kind comes first, as jq and any other
// reader sees it.
func TestLinesParse(t *testing.T) {
	for _, e := range examples(t) {
		b := line(e.fact)
		var object map[string]any
		if err := json.Unmarshal(b, &object); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		equal(t, e.name+": kind", object["kind"], any(string(e.fact.Kind())))
		equal(t, e.name+": first key", keys(t, b)[0], "kind")
		equal(t, e.name+": lines", bytes.Count(b, []byte("\n")), 1)
	}
}

// contract is the order of keys that the design lays down; keys beyond it may
// stand anywhere.
var contract = map[collector.Kind]string{
	collector.KindConnection: "kind start_time end_time duration_ns brink.role " +
		"network.transport network.type network.local.address network.local.port network.peer.address network.peer.port " +
		"process.pid process.executable.name process.linux.cgroup brink.netns " +
		"brink.states error.type brink.errno trace_id span_id",
	collector.KindLimitHit: "kind time brink.limit brink.errno error.type brink.limit.max brink.limit.used",
	collector.KindBindConflict: "kind time brink.errno " +
		"network.local.address network.local.port process.pid process.executable.name brink.holders",
	collector.KindTimeWait: "kind time event brink.time_wait.kind network.local.address network.local.port " +
		"network.peer.address network.peer.port",
	collector.KindState: "kind",
}

func TestKeysInTheContractsOrder(t *testing.T) {
	for _, e := range examples(t) {
		order := strings.Fields(contract[e.fact.Kind()])
		var got []string
		for _, key := range keys(t, identifiedLine(e.fact)) {
			if slices.Contains(order, key) {
				got = append(got, key)
			}
		}
		want := slices.DeleteFunc(order, func(key string) bool { return !slices.Contains(got, key) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", e.name, got, want)
		}
	}
}

// Among the examples each key of the contract occurs, so that its order is held.
func TestContractIsComplete(t *testing.T) {
	seen := map[string]bool{"connection process.linux.cgroup": true} // a path of this host
	for _, e := range examples(t) {
		for _, key := range keys(t, identifiedLine(e.fact)) {
			seen[string(e.fact.Kind())+" "+key] = true
		}
	}
	for kind, order := range contract {
		for _, key := range strings.Fields(order) {
			if !seen[string(kind)+" "+key] {
				t.Errorf("no example of a %s has %s", kind, key)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	for _, e := range examples(t) {
		isConnection := e.fact.Kind() == collector.KindConnection
		got := strings.HasSuffix(string(identifiedLine(e.fact)), `,"trace_id":"4bf90000000000000000000000000001","span_id":"00f0000000000000"}`+"\n")
		equal(t, e.name+": has an identity", got, isConnection)
	}
}

func identified(w io.Writer) *Sink {
	return &Sink{W: w, Identify: func(*collector.Connection) (trace [16]byte, span [8]byte) {
		return [16]byte{0: 0x4b, 1: 0xf9, 15: 1}, [8]byte{0, 0xf0}
	}}
}

func TestMarshal(t *testing.T) {
	b := Marshal("summary", func(v collector.Visitor) {
		v.Uint("events", 3)
		v.Int("offset", -1)
		v.Bool("whole", false)
		v.Object("mode", func(v collector.Visitor) { v.String("connect", "fentry"); v.String("bind", "poll") })
		v.Object("nothing", func(collector.Visitor) {})
		v.List("rows", 2, func(i int, v collector.Visitor) {
			if i == 0 {
				v.Uint("n", 1)
			}
		})
		v.List("none", 0, nil)
		v.String("last", "}")
	})
	equal(t, "line", string(b), `{"kind":"summary","events":3,"offset":-1,"whole":false,`+
		`"mode":{"connect":"fentry","bind":"poll"},"nothing":{},"rows":[{"n":1},{}],"none":[],"last":"}"}`+"\n")
}

// Times are UTC, of one length, and keep their nanoseconds.
func TestTime(t *testing.T) {
	east := time.FixedZone("east", 2*60*60)
	b := line(&collector.TimeWait{Time: time.Date(2026, 1, 2, 3, 4, 5, 60, east), State: collector.TimeWaitState})
	if !bytes.Contains(b, []byte(`"time":"2026-01-02T01:04:05.000000060Z"`)) {
		t.Errorf("%s", b)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestFailedWritesAreCounted(t *testing.T) {
	s := Sink{W: brokenPipe{}}
	s.Accept(&collector.LimitHit{})
	s.Accept(&collector.LimitHit{})
	equal(t, "failed", s.Failed(), 2)
}

// FuzzString: what encoding/json would have a reader see, byte for byte.
func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "curl", "\"\\/", "\x00\x1f\x7f\n\t", "\xff\xfe", "\xed\xa0\x80", "héé\u2028\u202e\u009b", "\U0001f41f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		theirs, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "read back", unquote(t, appendString(nil, s)), unquote(t, theirs))
	})
}

func unquote(t *testing.T, b []byte) (s string) {
	t.Helper()
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return s
}

// maxAllocs is for the function of a list, and what a conflict's rule is put in
// words with; the line is built in place.
const maxAllocs = 5

func TestAllocations(t *testing.T) {
	for _, e := range examples(t) {
		s := identified(io.Discard)
		n := testing.AllocsPerRun(100, func() { s.Accept(e.fact) })
		if n > maxAllocs {
			t.Errorf("%s: %v allocations", e.name, n)
		}
	}
}

func BenchmarkConnection(b *testing.B) {
	c := examples(b)[0].fact
	s := identified(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		s.Accept(c)
	}
}

func identifiedLine(f collector.Fact) []byte {
	var b bytes.Buffer
	identified(&b).Accept(f)
	return b.Bytes()
}

func line(f collector.Fact) []byte {
	var b bytes.Buffer
	(&Sink{W: &b}).Accept(f)
	return b.Bytes()
}

// keys are those of the outer object, in the line's order.
func keys(t *testing.T, b []byte) (keys []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".jsonl")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %swant %s", got, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// What was written of an owner serves for the same owner alone.
func TestOwnersAreTakenUpAgain(t *testing.T) {
	s := &Sink{W: io.Discard}
	for _, o := range []collector.Owner{curl, curl, owner(812+16, 1000, "curl"), curl, owner(812, 0, "curl"), {}, owner(812, 0, "wget"), curl} {
		f := &collector.LimitHit{Time: booted, Owner: o}
		var again bytes.Buffer
		s.W = &again
		s.Accept(f)
		equal(t, "line", again.String(), string(line(f)))
	}
}
