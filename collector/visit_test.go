package collector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// recorder is a Visitor that keeps the keys in their order and fails on a word
// that is empty: absent beats empty. A task's name alone may be, as prctl(2)
// lets it.
type recorder struct {
	t    testing.TB
	keys []string
}

func (r *recorder) String(key, value string) {
	r.keys = append(r.keys, key)
	if value == "" && key != KeyProcess {
		r.t.Errorf("%s is empty", key)
	}
}
func (r *recorder) Int(key string, _ int64)                { r.keys = append(r.keys, key) }
func (r *recorder) Uint(key string, _ uint64)              { r.keys = append(r.keys, key) }
func (r *recorder) Float(key string, _ float64)            { r.keys = append(r.keys, key) }
func (r *recorder) Bool(key string, _ bool)                { r.keys = append(r.keys, key) }
func (r *recorder) Time(key string, _ time.Time)           { r.keys = append(r.keys, key) }
func (r *recorder) Object(key string, visit func(Visitor)) { r.keys = append(r.keys, key); visit(r) }
func (r *recorder) List(key string, n int, item func(int, Visitor)) {
	r.keys = append(r.keys, key)
	for i := range n {
		item(i, &recorder{t: r.t})
	}
}

// What is not known is left out, down to the fact of which only the time and
// the kind are known.
func TestVisitLeavesOutTheUnknown(t *testing.T) {
	for _, test := range []struct {
		fact Fact
		want []string
	}{
		{&Connection{}, []string{"end_time"}},
		{&LimitHit{Limit: limits.FileTable}, []string{"time", KeyLimit, KeyLimitKnob}},
		{&BindConflict{}, []string{"time"}},
		{&TimeWait{State: TimeWaitState}, []string{"time", "event", KeyTimeWaitKind}},
		{&StateChange{Old: Closed, New: Listen}, []string{"time", "brink.state.old", KeyState}},
	} {
		r := &recorder{t: t}
		test.fact.Visit(r)
		if !slices.Equal(r.keys, test.want) {
			t.Errorf("%s: %v, want %v", test.fact.Kind(), r.keys, test.want)
		}
	}
}

func TestErrorType(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.ECONNREFUSED: "connection_refused",
		unix.ELOOP:        "eloop",
		512:               "_OTHER", // ERESTARTSYS never leaves the kernel
	} {
		equal(t, fmt.Sprint(int(errno)), ErrorType(errno), want)
	}
}

// Sinks take facts from elsewhere, too (Inject), so that the names hold for
// numbers that no record carries.
func TestNames(t *testing.T) {
	equal(t, "role 3", Role(3).String(), "listener")
	equal(t, "role 200", Role(200).String(), "")
	equal(t, "event 200", TimeWaitEvent(200).String(), "")
	equal(t, "state 200", State(200).String(), "")
	equal(t, "limit 200", Limit(200).String(), "")
	equal(t, "reuse", TimeWaitReuseConnect.String()+" "+TimeWaitReuseSYN.String(), "reuse reuse")
	for l := limits.None + 1; int(l) < int(bpf.BrinkLimitLIMIT_COUNT); l++ {
		if l.String() == "" {
			t.Errorf("limit %d has no name", l)
		}
	}
	equal(t, "the last role", RoleListener, Role(bpf.BrinkRoleROLE_LISTENER))
}
