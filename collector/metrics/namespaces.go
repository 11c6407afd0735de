package metrics

import (
	"iter"
	"sync"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
)

// Namespaces names network namespaces by who lives in them: a pod, a container, a
// systemd unit, or what `ip netns` calls it. A name stays as long as the
// namespace does, so that a series does not change its attributes. The zero value
// knows none.
type Namespaces struct {
	mu    sync.Mutex
	known map[uint32]*namespace
}

type namespace struct {
	attributes []attribute.KeyValue
	first      int // its first process, when it was seen last
	seen       time.Time
}

// absence is how long a namespace in which nothing lives is remembered, and its
// counts with it: its last timewait socket lives a minute.
const absence = 5 * time.Minute

// of are the attributes of a namespace; none for 0. The list may be appended to.
func (n *Namespaces) of(netns uint32) []attribute.KeyValue {
	if netns == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.known[netns]; known != nil {
		return known.attributes
	}
	return n.learn(netns, residence{}, time.Now()).attributes // it is gone already
}

// learn remembers who lives in a namespace, for good. n.mu is held.
func (n *Namespaces) learn(netns uint32, r residence, now time.Time) *namespace {
	if n.known == nil {
		n.known = map[uint32]*namespace{}
	}
	is := &namespace{attributes: r.describe(netns), first: r.pid, seen: now}
	n.known[netns] = is
	return is
}

// meet looks who lives in namespaces that are new.
func (n *Namespaces) meet(numbers iter.Seq[uint32]) {
	n.mu.Lock()
	known := true
	for netns := range numbers {
		known = known && (netns == 0 || n.known[netns] != nil)
	}
	n.mu.Unlock()
	if !known {
		n.Look(time.Now())
	}
}

// Look learns who lives in the namespaces that are there now, and returns those
// that are gone for good, or whose number another one has now.
func (n *Namespaces) Look(now time.Time) (gone []uint32) {
	there := residences()
	n.mu.Lock()
	defer n.mu.Unlock()
	for netns, r := range there {
		is := n.known[netns]
		if is != nil && is.succeeded(r) {
			gone = append(gone, netns)
			is = nil
		}
		if is == nil {
			is = n.learn(netns, r, now)
		}
		is.first, is.seen = r.pid, now
	}
	for netns, is := range n.known {
		if now.Sub(is.seen) > absence {
			gone = append(gone, netns)
			delete(n.known, netns)
		}
	}
	return gone
}

// succeeded reports whether another namespace has the number: the kernel gives the
// lowest that is free (proc_alloc_inum), so that the next pod often gets that of
// the one before. None of its processes is as old as the last look then, and
// nothing keeps it without any.
func (is *namespace) succeeded(by residence) bool {
	return by.pid != is.first && by.pid != 0 && by.kept == "" && !by.isHost && startOf(by.pid).After(is.seen)
}

// Forget has the names learned anew. When the namespaces were there last is
// remembered: counts are still kept for them.
func (n *Namespaces) Forget() {
	there := residences()
	n.mu.Lock()
	defer n.mu.Unlock()
	for netns, r := range there {
		n.learn(netns, r, time.Now())
	}
}

// placeAttributes are what a cgroup's path says, in the conventions' words.
func placeAttributes(cgroup string) (list []attribute.KeyValue) {
	place := collector.PlaceOf(cgroup)
	add := func(key, value string) {
		if value != "" {
			list = append(list, attribute.String(key, value))
		}
	}
	pod := collector.PodOf(place.PodUID)
	add(collector.KeyPodUID, place.PodUID)
	add(collector.KeyPodName, pod.Name)
	add(collector.KeyPodNamespace, pod.Namespace)
	if place.PodUID == "" { // a pod's containers share its network namespace
		add(collector.KeyContainer, place.ContainerID)
	}
	return list
}
