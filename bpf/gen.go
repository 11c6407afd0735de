// Package bpf holds brink's kernel programs and their generated Go mirror.
//
//	event.h ── the structs that reach user space, mirrored here by bpf2go
//	kernel.h   the kernel fields that are read
//	maps.h → emit.h → endpoint.h, connect.h, bind.h, … one header a subject
//	fentry.h, kprobe.h, tracepoint.h: which function leads to which handler
//
// The objects for amd64 and arm64 are committed, so that building brink takes
// Go alone; `make generate` makes them anew with the pinned clang.
package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type event_kind -type hook -type limit -type role -type stage -type endpoint_flag -type time_wait_event -type count -type tuple -type owner -type endpoint -type endpoint_ended -type state_changed -type refused -type bind_options -type port_range -type time_wait -type cidr -type failure -type outcome -type storm_key -type storm -type lives_key -type lives -type time_waits_key Brink brink.c
