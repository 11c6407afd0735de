package collector

import (
	"sync"
	"time"

	"brink/bpf"

	"golang.org/x/sys/unix"
)

// storms are refusals that came faster than they are told one by one (bpf's
// storm.h): the kernel counts those, and once in a while they are told together.
type storms struct {
	mu   sync.Mutex
	told map[bpf.BrinkStormKey]uint64
}

// maxStorms bounds what is remembered; the kernel's map has 4,096 entries.
const maxStorms = 1 << 14

// stormsEvery is how often.
const stormsEvery = time.Second

// since are the facts about what has been refused since the last call. The
// kernel may have dropped an entry and begun it anew (its map is an LRU).
func (s *storms) since(now map[bpf.BrinkStormKey]bpf.BrinkStorm) (facts []Fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, storm := range now {
		before := s.told[key]
		if storm.Untold < before {
			before = 0
		}
		if n := storm.Untold - before; n > 0 {
			facts = append(facts, stormFact(key, &storm, n))
		}
	}
	if s.told == nil || len(s.told) > maxStorms {
		s.told = make(map[bpf.BrinkStormKey]uint64, len(now))
	}
	for key, storm := range now { // not all of them, if the kernel's map changed meanwhile
		s.told[key] = storm.Untold
	}
	return facts
}

func stormFact(key bpf.BrinkStormKey, s *bpf.BrinkStorm, n uint64) Fact {
	owner := ownerOf(&s.Owner)
	if key.Limit == bpf.BrinkLimitLIMIT_NONE {
		return &ConnectFailures{
			Time: time.Now(), Failure: Failure(s.Failure), Errno: unix.Errno(key.Error), Count: n,
			Netns: key.Netns, Owner: owner,
		}
	}
	return &LimitHit{
		Time: time.Now(), Limit: Limit(key.Limit), Errno: unix.Errno(key.Error), Count: n,
		Netns: key.Netns, Owner: owner,
	}
}
