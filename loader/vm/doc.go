// Package vm boots the kernel matrix for tests: Debian's cloud kernels in
// QEMU with software emulation, no hypervisor and no disk image.
//
//	apt sources ─→ mirror ─→ apt-get download ─→ dpkg-deb ─→ cache: vmlinux, modules
//	                                                            │
//	busybox · modules · caller's files · commands ─→ initramfs ─┤
//	                                                            ↓
//	Result ←─ frames ←─ ttyS1 ←─ /init: mounts, modules, commands ←─ qemu
//	       ←─ panics ←─ ttyS0 (console)
//
// Two serial lines keep the two stories apart: the kernel writes what it
// likes on ttyS0, and a command's output comes back framed on ttyS1, where no
// kernel message can land in the middle of it.
//
// The host needs qemu-system-x86_64 and a static busybox; for the first fetch
// of a kernel also apt-get, dpkg-deb, debian-archive-keyring and its Debian
// mirror, and zstd and lz4 to make the boot faster. It need not be root.
// Nothing here touches the host's network, its apt lists or its package state.
package vm
