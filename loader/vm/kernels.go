package vm

// A Kernel is one row of the matrix: a series and the Debian suite that
// carries it.
type Kernel struct {
	Suite  string // Debian suite, also the name of the cache entry
	Series string // what the suite's kernel is, for people and file names
}

// String names the kernel for messages: "bookworm 6.1".
func (k Kernel) String() string { return k.Suite + " " + k.Series }

// Kernels is the matrix, oldest first. Each row is there for a reason:
//
//	5.10  the oldest supported: no bpf_get_func_ret (5.17), no module BTF
//	6.1   IP_LOCAL_PORT_RANGE is still missing (6.3)
//	6.12  inet_csk_accept has its new signature (6.10)
//	7.2   what comes next: it breaks here before it breaks in the field
//
// sid moves. A cached kernel stays until its cache entry is removed, so a run
// repeats; Result.Release says which kernel it really was.
var Kernels = []Kernel{
	{Suite: "bullseye", Series: "5.10"},
	{Suite: "bookworm", Series: "6.1"},
	{Suite: "trixie", Series: "6.12"},
	{Suite: "sid", Series: "7.2"},
}

// metaPackage depends on the suite's current kernel. The cloud flavour is
// small, has BTF, kprobes and the serial driver built in, and leaves only
// device drivers out that no emulated guest has.
const metaPackage = "linux-image-cloud-amd64"

// guestModules are loaded in every guest unless it asks for others: what a
// lab of namespaces, veth pairs, NAT and connection tracking needs, and
// sock_diag, which the cloud kernels do not build in.
var guestModules = []string{
	"veth", "dummy", "sch_netem",
	"inet_diag", "tcp_diag", "udp_diag",
	"nf_conntrack", "nf_conntrack_netlink", "nf_nat", "nf_tables",
	"nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct", "nft_limit",
}

// mergedModules are modules of some kernels and part of another module in the
// rest: nft_counter went into nf_tables in 5.17.
var mergedModules = []string{"nft_counter"}
