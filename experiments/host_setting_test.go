package experiments

import (
	"os"
	"strings"
	"testing"

	"brink/collector/limits"
)

// TestHostWideIsPredictedOnly: without --host-wide the prediction is there, the
// push is not, and the host stays as it is.
func TestHostWideIsPredictedOnly(t *testing.T) {
	before := hostWideSettings(t)
	for name, leg := range map[string]Leg{
		"fs.file-max": fileTableFull(), "net.ipv4.tcp_max_orphans": tooManyOrphans(IPv4), "net.ipv4.tcp_mem": memoryPressure(IPv4),
	} {
		r := run(t, noKernel(), oneLeg(leg))
		equal(t, name, r.Verdict, Skipped)
		if !strings.HasPrefix(r.Reason, name+" counts for the whole host") {
			t.Errorf("%s was skipped: %s", name, r.Reason)
		}
		most := must(hostSetting(name).numbers())(t)[min(1, len(must(hostSetting(name).numbers())(t))-1)]
		if r.Predicted == nil || r.Predicted.Value <= 0 || r.Predicted.Value > most+1 {
			t.Errorf("%s is %d and the prediction %+v", name, most, r.Predicted)
		}
		equal(t, name+": measured", r.Measured == nil, true)
	}
	equal(t, "the host's settings", hostWideSettings(t), before)
}

func hostWideSettings(t *testing.T) (all string) {
	t.Helper()
	for _, s := range []hostSetting{fileMax, maxOrphans, tcpMem} {
		all += string(must(os.ReadFile(s.path()))(t))
	}
	return all
}

func TestHostSetting(t *testing.T) {
	b := &Bench{}
	_, err := fileMax.set(b, "1")
	isError(t, err, "fs.file-max counts for the whole host")
	_, err = hostSetting("net.no.such").numbers()
	isError(t, err, "no such file")
	_, err = hostSetting("kernel.ostype").numbers()
	isError(t, err, "not a number")
	b.Size.HostWide = true
	_, err = hostSetting("net.no.such").set(b, "1")
	isError(t, err, "no such file")
}

// TestFileTableRoom: the larger the machine the less exact is the kernel's count,
// and the more room it takes for that not to matter.
func TestFileTableRoom(t *testing.T) {
	if room, slack := fileTableRoom(), fileTableSlack(); float64(2*slack) > fileTableWithin*float64(room)+1 {
		t.Errorf("%d files of room do not make up for %d", room, slack)
	}
	b := &Bench{}
	p := must(b.predictFileTable(0))(t)
	_, most := limits.Measure(limits.FileTable, "")
	equal(t, "fs.file-max", p.Inputs[0].Value, any(int(most)))
	b.Size.HostWide = true
	p = must(b.predictFileTable(0))(t)
	equal(t, "in a machine made for it", p.Value, min(fileTableRoom(), p.Value))
}

// TestOrphansPredicted: one more where the count comes late, and none more where
// nothing is to be refused.
func TestOrphansPredicted(t *testing.T) {
	b, late := &Bench{Size: Size{HostWide: true}}, must(countsOrphansLate())(t)
	over, within := must(b.predictOrphans(t.Context(), true))(t), must(b.predictOrphans(t.Context(), false))(t)
	equal(t, "within", within.Value, orphansLeft)
	equal(t, "a refusal within", within.refusal(), false)
	equal(t, "over", over.Value, map[bool]int{true: orphansLeft + 1, false: orphansLeft}[late])
	equal(t, "a refusal over", over.refusal(), true)
}
