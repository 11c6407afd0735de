package limits

import (
	"cmp"
	"math"
	"net/netip"
	"time"
)

// Reading is how close one subject is to one limit at one moment. What of the
// subject does not apply is zero; a reading of the whole host has none of it.
type Reading struct {
	Limit Limit

	Netns     uint32         // inode number of the network namespace
	Transport string         // "tcp"; empty where the limit knows no transport
	Local     netip.AddrPort // a listener, or a source address (port 0)
	Peer      netip.AddrPort // a destination
	PID       uint32
	Process   string // comm
	UID       uint32 // of a limit for a user; never 0, since root is exempt
	Cgroup    string // of a limit for a cgroup: its path below the hierarchy's root

	Used, Max uint64 // in Limit.Entry().Unit
	// Rate is by how many Used grows in a second (negative: shrinks) since the
	// earlier sample; meaningless unless Rated.
	Rate  float64
	Rated bool

	Knob   string // the setting, with its value: "fs.file-max = 2466170"
	Source string // where Used was read
	Note   string // what else is known, in words

	id uint64 // tells subjects apart that look the same: a listener's cookie
}

// Utilisation is Used in parts of Max, above 1 where the kernel lets more in
// than it says. A limit of nothing is full.
func (r *Reading) Utilisation() float64 {
	if r.Max == 0 {
		return 1
	}
	return float64(r.Used) / float64(r.Max)
}

// TimeToExhaustion is when Used meets Max if it goes on growing at Rate; false
// if it does not grow, or at what rate is not known. What is full already and
// grows has 0.
func (r *Reading) TimeToExhaustion() (time.Duration, bool) {
	if !r.Rated || r.Rate <= 0 {
		return 0, false
	}
	if r.Used >= r.Max {
		return 0, true
	}
	seconds := float64(r.Max-r.Used) / r.Rate
	if seconds >= math.MaxInt64/float64(time.Second) {
		return 0, false // in centuries
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// HostWide reports whether the reading is of the whole host.
func (r *Reading) HostWide() bool {
	return r.Netns == 0 && r.PID == 0 && r.UID == 0 && r.Cgroup == ""
}

// worse orders readings: the fullest first, then the one that is full soonest,
// then the tightest, then by subject so that the order is steady.
func worse(a, b Reading) int {
	return cmp.Or(
		cmp.Compare(b.Utilisation(), a.Utilisation()),
		cmp.Compare(soon(&a), soon(&b)),
		cmp.Compare(a.Limit, b.Limit),
		cmp.Compare(a.Max, b.Max),
		cmp.Compare(a.Netns, b.Netns),
		a.Local.Compare(b.Local),
		a.Peer.Compare(b.Peer),
		cmp.Compare(a.PID, b.PID),
		cmp.Compare(a.UID, b.UID),
		cmp.Compare(a.Cgroup, b.Cgroup),
		cmp.Compare(a.Knob, b.Knob),
		cmp.Compare(a.id, b.id),
	)
}

func soon(r *Reading) time.Duration {
	if d, ok := r.TimeToExhaustion(); ok {
		return d
	}
	return math.MaxInt64
}

// subject is what makes two readings, of two samples, the same.
type subject struct {
	limit       Limit
	netns       uint32
	local, peer netip.AddrPort
	pid, uid    uint32
	cgroup      string
	knob        string
	id          uint64
}

func (r *Reading) subject() subject {
	return subject{r.Limit, r.Netns, r.Local, r.Peer, r.PID, r.UID, r.Cgroup, r.Knob, r.id}
}
