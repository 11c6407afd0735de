package collector

import "strings"

// Place is what a cgroup's path says about who runs in it. What it does not say
// is empty.
type Place struct {
	ContainerID string // 64 hexadecimal digits
	Runtime     string // docker, containerd, cri-o, podman; empty where the path does not tell them apart
	PodUID      string // of a Kubernetes pod, as its metadata has it
	QoS         string // of the pod: guaranteed, burstable, besteffort
	Unit        string // systemd's innermost service or scope, outside a container
	Slice       string // systemd's innermost slice
}

// runtimes are the words that container runtimes put in front of an ID, in the
// name of a systemd scope or of the directory above.
var runtimes = map[string]string{
	"docker":         "docker",
	"cri-containerd": "containerd",
	"crio":           "cri-o",
	"libpod":         "podman",
	"libpod_parent":  "podman",
}

// PlaceOf reads a cgroup's path below its hierarchy's root. The innermost counts
// where containers run inside one another.
//
//	/system.slice/docker-ID.scope                               Docker, by systemd
//	/docker/ID                                                  Docker, by cgroupfs
//	/kubepods.slice/kubepods-burstable.slice/
//	    kubepods-burstable-podU_I_D.slice/cri-containerd-ID.scope   kubelet, by systemd
//	/kubepods/burstable/podU-I-D/ID                             kubelet, by cgroupfs
//	/system.slice/containerd.service/kubepods-…:cri-containerd:ID   systemd's slice, runc's cgroupfs
//	/machine.slice/libpod-ID.scope/container                    podman
//	/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope
func PlaceOf(cgroup string) (p Place) {
	above := ""
	for segment := range strings.SplitSeq(cgroup, "/") {
		p.step(segment, above)
		above = segment
	}
	if p.PodUID != "" && p.QoS == "" {
		p.QoS = "guaranteed" // its pods have no directory of their own
	}
	return p
}

// step takes one directory of the path.
func (p *Place) step(name, above string) {
	switch {
	case p.container(name, above) || p.pod(name):
	case name == "burstable" || name == "besteffort": // cgroupfs
		if above == "kubepods" {
			p.QoS = name
		}
	case strings.HasSuffix(name, ".slice"):
		p.Slice = name
	case strings.HasSuffix(name, ".service"), strings.HasSuffix(name, ".scope"):
		p.Unit = name
	}
}

// container takes ID, RUNTIME-ID.scope and SLICE:RUNTIME:ID.
func (p *Place) container(name, above string) bool {
	name = strings.TrimSuffix(name, ".scope")
	at := strings.LastIndexAny(name, "-:") + 1
	if !isContainerID(name[at:]) {
		return false
	}
	p.ContainerID, p.Unit = name[at:], ""
	word := above
	if at > 0 {
		word = name[:at-1]
		p.pod(word[:strings.LastIndexByte(word, ':')+1])
		word = word[strings.LastIndexByte(word, ':')+1:]
	}
	p.Runtime = runtimes[word]
	return true
}

// pod takes podUID, kubepods-QOS-podUID.slice, where systemd wants the UID's
// dashes to be underscores, and the same before a colon. A static pod's UID is a
// hash without dashes.
func (p *Place) pod(name string) bool {
	name = strings.TrimRight(name, ":")
	name, systemd := strings.CutSuffix(name, ".slice")
	_, rest, kubepods := strings.Cut(name, "kubepods") // below another slice the parent's name comes first
	if at := strings.LastIndex(rest, "-pod"); kubepods && at >= 0 {
		p.QoS, name = strings.Trim(rest[:at], "-"), rest[at+1:]
	} else if kubepods && systemd {
		p.QoS = strings.Trim(rest, "-")
		return true
	}
	uid, ok := strings.CutPrefix(name, "pod")
	uid = strings.ReplaceAll(uid, "_", "-")
	if !ok || !isPodUID(uid) {
		return false
	}
	p.PodUID, p.Unit = uid, ""
	return true
}

// isPodUID: an RFC 4122 UUID, or the 32 hexadecimal digits of a static pod's hash.
func isPodUID(s string) bool {
	digits := strings.ReplaceAll(s, "-", "")
	return len(digits) == 32 && (len(s) == 32 || len(s) == 36) && isHexadecimal(digits)
}

// ContainerID is the container that a cgroup belongs to, or empty.
func ContainerID(cgroup string) string { return PlaceOf(cgroup).ContainerID }

func isContainerID(s string) bool { return len(s) == 64 && isHexadecimal(s) }

func isHexadecimal(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
