# brink's commands. `make` alone is the check to run before a commit.
SHELL := /bin/bash
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo devel)
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)"
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
GENERATED := bpf/brink_x86_bpfel.go bpf/brink_x86_bpfel.o bpf/brink_arm64_bpfel.go bpf/brink_arm64_bpfel.o
BPF_CFLAGS := -O2 -g -Wall -Wpadded -Werror -mcpu=v3 -I/usr/include/$(shell gcc -dumpmachine 2>/dev/null)
# those of one record: decode and table, JSON line, span (benchstat reads the file)
BENCHMARKS := ^Benchmark(Apply.*|Connection|Accept|Span.*)$$

.PHONY: check help build run test test-vm test-backends bench generate generated vet clean

check: vet test ## vet, then test (the default)

help: ## show these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

build: ## build bin/brink, with Go alone
	@mkdir -p bin
	$(BUILD) -o bin/brink ./cmd/brink

run: build ## build, and run every experiment with the kernel traced
	$(SUDO) bin/brink run

test: ## unit tests, fuzz seeds and golden cases; as root also the tests on this kernel
	@test "$$(id -u)" = 0 || echo "left out for a plain user: the tests that trace this kernel (run make test as root)"
	go test -count=1 -p 1 ./... # one package at a time: some look at the whole host

test-vm: ## boot Debian's 5.10, 6.1, 6.12 and 7.2 kernels in QEMU and run the kernel tests there, on every rung (BRINK_VM=all: with the whole catalogue)
	BRINK_VM=1 go test -count=1 -timeout 60m ./loader/vm
	BRINK_VM=$${BRINK_VM:-1} go test -count=1 -timeout 180m -run 'TestVM$$' -v ./cmd/brink

bench: build ## what tracing costs, beside tcplife and tcpstates, and which goals are met (BENCH=quick: 2 minutes; full: with a million connections; guest: counted in instructions, emulated)
	@mkdir -p brink-report
	$(BUILD) -o bin/bench ./cmd/bench
	set -o pipefail; go test -run '^$$' -bench '$(BENCHMARKS)' -benchtime 100ms -count 6 \
		./collector ./collector/jsonl ./collector/otlp | tee brink-report/go-bench.txt
	$(SUDO) bin/bench -size $${BENCH:-default} -gobench brink-report/go-bench.txt

test-backends: ## build Jaeger and a Collector, fetch Debian's Prometheus (all cached), and test against them, as root
	BRINK_BACKENDS=1 go test -count=1 -timeout 30m ./cmd/brink/backends ./cmd/brink/deploy
	BRINK_BACKENDS=1 go test -count=1 -timeout 30m -run 'InJaeger$$|InPrometheus$$|InCollector$$|ThroughOutage$$' -v ./cmd/brink

generate: ## compile bpf/*.c again (needs clang-19, llvm-19 and libbpf-dev)
	BPF2GO_CFLAGS="$(BPF_CFLAGS)" go generate ./bpf

generated: generate ## fail if the committed objects are not what the sources give
	git diff --exit-code --stat -- $(GENERATED)

vet: ## gofmt and go vet
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...

clean: ## remove what was built
	rm -rf bin brink-report
