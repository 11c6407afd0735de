package collector

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Pod is a Kubernetes pod's name, as the kubelet writes it down.
type Pod struct{ Namespace, Name string }

// podLogs is where the kubelet keeps a directory for each pod of this node,
// NAMESPACE_NAME_UID (pkg/kubelet/kuberuntime: BuildPodLogsDirectory). To read
// their names takes neither the API server nor a token. BRINK_POD_LOGS is another
// place: where a DaemonSet has the host's mounted.
const podLogs = "/var/log/pods"

// pods remembers the newest listing.
var pods struct {
	sync.Mutex
	byUID  map[string]Pod
	listed time.Time
}

// podsEvery is how often the directory is listed at most, for a UID that is not
// known.
const podsEvery = 10 * time.Second

// PodOf is the pod with a UID; the zero Pod where this host does not say.
func PodOf(uid string) Pod {
	if uid == "" {
		return Pod{}
	}
	pods.Lock()
	defer pods.Unlock()
	p, known := pods.byUID[uid]
	if !known && time.Since(pods.listed) > podsEvery {
		pods.byUID, pods.listed = listPods(podLogsPath()), time.Now()
		p = pods.byUID[uid]
	}
	return p
}

// forgetPods has the next PodOf list them again.
func forgetPods() {
	pods.Lock()
	defer pods.Unlock()
	pods.byUID, pods.listed = nil, time.Time{}
}

func podLogsPath() string {
	if path := os.Getenv("BRINK_POD_LOGS"); path != "" {
		return path
	}
	return podLogs
}

func listPods(path string) map[string]Pod {
	found := map[string]Pod{}
	entries, _ := filepath.Glob(filepath.Join(path, "*_*_*"))
	for _, entry := range entries {
		if uid, p, ok := parsePodLogs(filepath.Base(entry)); ok {
			found[uid] = p
		}
	}
	return found
}

// parsePodLogs takes NAMESPACE_NAME_UID: neither of the three may have an
// underscore in it.
func parsePodLogs(name string) (uid string, p Pod, ok bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || !isPodUID(parts[2]) {
		return "", Pod{}, false
	}
	return parts[2], Pod{Namespace: parts[0], Name: parts[1]}, true
}
