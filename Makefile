# `make help` lists what there is. `make demo` and `make test` need nothing but Swift 6.3 and root or sudo.
SWIFT ?= swift
BUILD ?= .build
# The demo and the tests share one tree of optimized objects; the same flags keep either from rebuilding the other's.
FLAGS := -c release --scratch-path $(BUILD) -Xswiftc -enable-testing
BESSEMER := $(BUILD)/release/bessemer
# The command to ship: no Swift libraries needed where it runs. Other flags, so another tree.
STATIC := $(BUILD)-static
STATIC_FLAGS := -c release --scratch-path $(STATIC) --static-swift-stdlib
CACHE := .cache
# After a crash the backtracer would hold the output open.
export SWIFT_BACKTRACE := enable=no

.DEFAULT_GOAL := help
.PHONY: help setup build demo image test test-kernels test-kernels-arm64 lint minilm bench fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-20s%s\n", $$1, $$2 }' Makefile

setup: ## check the toolchain and install the system packages that are missing
	@scripts/require-swift.sh $(SWIFT)
	@scripts/install-packages.sh

build: setup ## build bin/bessemer, which needs no Swift where it runs
	@scripts/quietly.sh "building" $(SWIFT) build $(STATIC_FLAGS) --product bessemer
	@mkdir -p bin && cp $(STATIC)/release/bessemer bin/bessemer && strip bin/bessemer
	@ls -l bin/bessemer

demo: setup ## take a small trained model the whole way and check the results
	@scripts/quietly.sh "building" $(SWIFT) build $(FLAGS) --product bessemer
	@scripts/demo.sh $(BESSEMER)

image: setup ## make pictures with a tiny GLM-Image and hold them against those of diffusers
	@scripts/quietly.sh "building" $(SWIFT) build $(FLAGS) --product bessemer
	@scripts/image.sh $(BESSEMER)

test: setup ## run all tests
	@scripts/quietly.sh "building the tests" $(SWIFT) build $(FLAGS) --build-tests
	@$(SWIFT) test $(FLAGS) --skip-build --disable-xctest --quiet --no-parallel $(ARGS)

test-kernels: setup ## run the self-test of the kernels on this machine
	@scripts/quietly.sh "the kernels' self-test" $(MAKE) --no-print-directory -C Tests/CKernels test

test-kernels-arm64: setup ## run the self-test of the kernels on an emulated ARM64 machine
	@scripts/install-packages.sh packages-arm64.txt
	@scripts/quietly.sh "the kernels' self-test on ARM64" $(MAKE) --no-print-directory -C Tests/CKernels test-arm64

lint: ## check the format of all Swift code
	@$(SWIFT) format lint -r --strict Sources Tests Benchmarks Package.swift

minilm: setup ## download MiniLM and compare its embeddings with the reference (needs python3 and pip)
	@scripts/quietly.sh "building" $(SWIFT) build $(FLAGS) --product bessemer
	@scripts/minilm.sh $(BESSEMER) $(CACHE)

bench: setup ## time the kernels against the machine's limits, and graphs of 100,000 nodes
	@$(MAKE) --no-print-directory -C Benchmarks/kernels run ARGS="$(ARGS)"
	@$(SWIFT) run -c release --package-path Benchmarks/graph --quiet graph

fuzz: setup ## fuzz what reads untrusted bytes, SECONDS each
	@Tests/Fuzz/run.sh $(or $(SECONDS),60)

clean: ## remove everything that was built
	rm -rf $(BUILD) $(STATIC) bin Tests/Fuzz/.build
