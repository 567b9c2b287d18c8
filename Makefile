# The few commands a person types. `make` alone lists them; the build itself is CMakeLists.txt.

BUILD ?= build
SEEDS ?= 20
JOBS  ?= 2
SEED  ?=

MERIDIAN := $(BUILD)/bin/meridian
CMAKE_FLAGS ?=

.PHONY: help setup up down status build test check check-all bench sim fmt fmt-check tidy clean
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## start three regions on this machine (installs and builds what is missing)
	@tools/setup --quiet-if-done run
	@$(MAKE) --no-print-directory build
	@$(MERIDIAN) up

down: ## stop them; the data stays in .meridian
	@if [ -x $(MERIDIAN) ]; then $(MERIDIAN) down; else echo "nothing was built here, so nothing runs"; fi

status: ## show what runs
	@if [ -x $(MERIDIAN) ]; then $(MERIDIAN) status; else echo "nothing was built here, so nothing runs"; fi

build: ## compile the program into build/bin/meridian
	@tools/build $(BUILD) meridian

test: ## build and run every test
	@tools/setup --quiet-if-done run test
	@tools/build $(BUILD) all planted
	@tools/run-tests $(BUILD) --jobs $(JOBS)

check: ## quick tests, tidy and format, in under a minute once built
	@tools/setup --quiet-if-done run test
	@tools/build $(BUILD) all
	@tools/tidy
	@$(MAKE) --no-print-directory fmt-check
	@tools/run-tests $(BUILD) --jobs $(JOBS) --label 'unit|fuzz|tools'

check-all: check ## check, then clang, sanitizers, clang-tidy and a fuzz smoke
	@tools/check-all

bench: ## measure against Redis and etcd, side by side
	@tools/setup --quiet-if-done run test bench
	@tools/build $(BUILD) meridian
	@bench/bench.py

sim: ## run the simulator: SEEDS=20, or one seed with SEED=7
	@tools/setup --quiet-if-done run
	@tools/build $(BUILD) meridian
	@$(MERIDIAN) sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

fmt: ## format the sources
	@tools/format

fmt-check:
	@tools/format --check

tidy: ## check layers, forbidden functions, sizes, docstrings, dead files
	@tools/tidy

clean: ## remove everything that was built (not the data)
	@rm -rf $(BUILD) build-clang build-asan build-tsan build-fuzz
