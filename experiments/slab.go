package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// slabCaches is where SLUB, the kernel's only slab allocator since 6.8, shows its
// caches, for root alone. Unlike /proc/slabinfo it also has the names of caches
// that were merged with one that is alike, as links to it.
const slabCaches = "/sys/kernel/slab"

// A slabCache is one of them.
type slabCache struct {
	path          string // merged caches have the same
	perSlab, size int    // objects and bytes
}

// findCache is fs.ErrNotExist where this kernel has no such cache.
func findCache(name string) (c slabCache, err error) {
	if c.path, err = filepath.EvalSymlinks(filepath.Join(slabCaches, name)); err != nil {
		return c, err
	}
	if c.perSlab, err = c.read("objs_per_slab"); err != nil {
		return c, err
	}
	order, err := c.read("order")
	c.size = os.Getpagesize() << order
	return c, err
}

// read is one of the cache's numbers: "159 N0=159" is 159.
func (c slabCache) read(attribute string) (int, error) {
	content, err := os.ReadFile(filepath.Join(c.path, attribute))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("%s of slab cache %s is %q", attribute, c.path, content)
	}
	return n, nil
}

// share is what one object takes of its slab's pages, which is more than its own
// size: 13 sockets of 2,368 bytes fill eight pages.
func (c slabCache) share() float64 { return float64(c.size) / float64(c.perSlab) }

// objects are those in use. The kernel counts the free ones that a CPU has at
// hand among them.
func (c slabCache) objects() (int, error) { return c.read("objects") }

// meminfo is a line of /proc/meminfo, in bytes.
func meminfo(name string) (int, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kibibytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return kibibytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}

// reclaimable reports whether MemAvailable counts the cache as free, as it does
// with inodes and dentries (SLAB_RECLAIM_ACCOUNT), open sockets' ones too.
func (c slabCache) reclaimable() bool {
	n, err := c.read("reclaim_account")
	return err == nil && n == 1
}

// A slabObject is what a connection has so and so many of.
type slabObject struct {
	name  string
	count int
	cache slabCache
}

// connectionObjects are those of one connection of which both ends are on this
// host. A request socket is gone once the connection is established. Left out are
// what has no cache of its own: the memory cgroup's note of whose each object is
// (slabobj_ext, 8 bytes each), the security modules' of each socket, and the
// descriptor tables.
func connectionObjects(f Family) (all []slabObject, err error) {
	socket := "TCP"
	if f == IPv6 {
		socket = "TCPv6"
	}
	for _, o := range []slabObject{
		{name: socket, count: 2},
		{name: "sock_inode_cache", count: 2}, // struct socket with its inode
		{name: "dentry", count: 2},
		{name: "filp", count: 2},
		{name: "lsm_inode_cache", count: 2}, // where a security module wants them
		{name: "lsm_file_cache", count: 2},
		{name: "tcp_bind_bucket", count: 1},  // of the client's port
		{name: "tcp_bind2_bucket", count: 1}, // and with its address, since 6.1
	} {
		o.cache, err = findCache(o.name)
		switch {
		case err == nil:
			all = append(all, o)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has none of a connection's caches: %w", slabCaches, fs.ErrNotExist)
	}
	return all, nil
}

// inUse is how many bytes of slabs the objects' caches have given away.
func inUse(objects []slabObject) (bytes int, err error) {
	counted := map[string]bool{}
	for _, o := range objects {
		if counted[o.cache.path] {
			continue
		}
		counted[o.cache.path] = true
		n, err := o.cache.objects()
		if err != nil {
			return 0, err
		}
		bytes += int(float64(n) * o.cache.share())
	}
	return bytes, nil
}
