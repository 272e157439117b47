# Two commands do everything: `make demo` shows the main job, `make test` checks it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Short forms for `make test`; raise them for a longer look.
# Worlds of datagrams, and those that may have connections, names and changed sessions besides.
SEEDS ?= 400
SEEDS_ROADS ?= 100
# One of so many is played twice, to see that it comes out the same.
TWICE_EVERY ?= 5
FUZZ_SECONDS ?= 60
# How it is built; `make test` takes a profile that is built in half the time.
PROFILE ?= release
BINARIES = target/$(PROFILE)
# What is checked and tested is built by clippy's compiler: the lints cost no compilation of their own.
LINTS = $(if $(shell command -v clippy-driver),clippy-driver)
LINTS_ARGUMENTS = -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# Together with the tests what both need is built once.
WHAT_release = --bin dialerd --bin swarm --bin loadtest
WHAT_tested = --workspace --bins --tests

.PHONY: demo-and-interop tests fuzz-build help build demo test check lint licences fuzz ears interop swarm pacing loadtest loadtest-short bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup-build:
	@scripts/setup build

setup-test:
	@scripts/setup test

setup-interop:
	@scripts/setup interop

setup-loadtest:
	@scripts/setup loadtest

build: setup-build ## the daemon and its load generators, optimised
	cargo build --profile $(PROFILE) --locked $(WHAT_$(PROFILE))

demo: build ## a predictive campaign over real SIP and RTP on this machine (about two minutes)
	$(BINARIES)/dialerd demo $(DEMO_ARGUMENTS)

# The same words as below: another path to it would be another compiler, and all would be built anew.
check: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
check: export CLIPPY_ARGS := $(LINTS_ARGUMENTS)
check: setup-build ## format, lints, walls between the rooms, licences
	cargo fmt --all -- --check
	cargo build --workspace --all-targets --locked --profile tested
	cargo test --workspace --locked --profile tested --test walls

# Whoever has no clippy tests all the same.
test: export RUSTC_WORKSPACE_WRAPPER := $(LINTS)
test: export CLIPPY_ARGS := $(LINTS_ARGUMENTS)
test: export PROFILE := tested
test: setup-test build ## everything that can be checked
	$(MAKE) --jobs=2 tests fuzz-build
	$(MAKE) swarm
	$(BINARIES)/dialerd simulate standard --agents 5,20 --days 2 --seeds 1 --policies predictive,progressive --quiet
	$(MAKE) loadtest-short
	$(MAKE) --jobs=2 fuzz demo-and-interop

# They mostly wait: beside them the fuzz targets are built, with what is left of the processors.
tests:
	scripts/run-tests

fuzz-build:
	nice -n 19 fuzz/run --build --bins

swarm: build ## the whole daemon under a seeded world
	$(BINARIES)/dialerd world swarm --seeds $(SEEDS) --twice-every $(TWICE_EVERY)
	$(BINARIES)/dialerd world swarm --from 10000 --seeds $(SEEDS_ROADS) --twice-every $(TWICE_EVERY)

pacing: build ## the predictive mode in every scenario, held against what is asked of it (some minutes)
	$(BINARIES)/dialerd simulate --suite --days 5 --seeds 4 --policies predictive,known
	$(BINARIES)/dialerd simulate standard --agents 5,20 --days 5 --seeds 2 --policies predictive,stdio --check

ears: ## how well the ears hear, on a corpus of synthetic calls; writes docs/EARS.md (some minutes)
	@scripts/setup ears
	cargo run --release --locked -p loadtests --bin ears -- --write docs/EARS.md

interop: setup-test setup-interop build ## the daemon against SIPp feature by feature, among Kamailio and baresip over UDP, TCP and TLS, and with a browser
	DIALERD_FEATURE_CALLS=20 cargo test --workspace --locked --profile tested --test it -- features streams sockets browser
	$(BINARIES)/loadtest interop

fuzz: ## what peers send, mutated
	nice -n 19 fuzz/run --together $(FUZZ_SECONDS) sip sdp uri digest identity sequences framer ws rtp srtp stun wav ogg

# They mostly wait: beside the fuzz targets, which take only what is left of the processors.
demo-and-interop: build
	$(BINARIES)/loadtest interop --short
	$(BINARIES)/dialerd demo --plain

loadtest: setup-loadtest build ## throughput against SIPp and our own swarm, beside Kamailio and OpenSIPS; prints one table
	$(BINARIES)/loadtest full

loadtest-short: setup-test build
	$(BINARIES)/loadtest short

bench: ## criterion benches of the hot paths
	cargo bench --locked -p benches

clean:
	cargo clean
