BPF_CFLAGS := -O2 -g -Wall -Wpadded -Werror -mcpu=v3 -I/usr/include/$(shell gcc -dumpmachine)

generate: ## compile bpf/*.c again (needs clang-19, llvm-19, libbpf-dev)
	BPF2GO_CFLAGS="$(BPF_CFLAGS)" go generate ./bpf
