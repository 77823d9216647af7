# What there is to make. Everything needs rustup with the toolchain of rust-toolchain.toml, and nothing else by hand.

# The feature set of the whole workspace, so that demo and tests compile the dependencies once between them.
HOST = cargo build --workspace --bin tasq-host
# The crates that are compiled to WebAssembly: not the example that uses the host.
MANIFESTS = $(filter-out examples/tasqueue/%,$(wildcard examples/*/Cargo.toml tests/guests/*/Cargo.toml))
GUESTS = -p tasq-sdk $(foreach manifest,$(MANIFESTS),-p $(notdir $(patsubst %/,%,$(dir $(manifest)))))

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Add 5 and 4 in a sandbox: builds host and handler, enqueues, runs, prints the result
	$(HOST)
	scripts/demo $(FOLDER)

.PHONY: bench
bench: ## What memory and an SQLite file give on this machine: release build, a handler that does nothing; some minutes
	cargo build --release -p tasq-host
	scripts/bench

.PHONY: test
test: test-host ## All tests; whole processes that are killed among them, for seconds (`make chaos` for longer)

.PHONY: test-host
test-host: tools ## Everything that cargo test runs: host, SDK, examples, laws, whole processes, guests
	cargo test --workspace

.PHONY: test-brokers
test-brokers: ## Of the tests, those that start a server of their own: laws, model and crashes on Redis
	@scripts/servers
	cargo test --workspace --test '*redis*'

.PHONY: test-languages
test-languages: ## Of the tests, those of handlers in other languages: every language against every case, RUNS runs in a row
	@scripts/guest-tools >/dev/null
	$(if $(RUNS),TASQ_RUNS=$(RUNS) )cargo test -p tasq-tests --test languages --test examples --test commands

.PHONY: chaos
chaos: tools ## Kill workers and servers under TASKS (100000) tasks, chains and groups, then count; BROKER=redis for one alone
	$(HOST) --bin chaos
	$${CARGO_TARGET_DIR:-target}/debug/chaos --tasks $(or $(TASKS),100000) $(BROKER)

.PHONY: corpus
corpus: tools ## Try the hostile corpus, each case within OVERRUN_MS (100) of its limit, and write docs/CORPUS.md
	TASQ_CORPUS=write TASQ_OVERRUN_MS=$(or $(OVERRUN_MS),100) cargo test --workspace --test corpus

.PHONY: cgroup
cgroup: ## Every slot at its memory limit in a control group of 256 MiB, made below GROUP (/sys/fs/cgroup): nobody is killed
	$(HOST)
	cargo +$$(scripts/wasm-toolchain) build --target wasm32-wasip2 --profile guest -p misbehave -p echo
	scripts/cgroup $${CARGO_TARGET_DIR:-target}/debug/tasq-host $${CARGO_TARGET_DIR:-target}/wasm32-wasip2/guest $(GROUP)

.PHONY: leaks
leaks: tools ## Look 100,000 times for what one task left in the memory of the next, with each setup of the pool
	TASQ_PROBES=100000 cargo test --workspace --test leaks

.PHONY: fuzz
fuzz: tools ## Try inputs that nobody thought of, each target for SECONDS (60); what fails is kept in tests/regressions/fuzz
	TASQ_FUZZ_SECONDS=$(or $(SECONDS),60) cargo test --workspace --test fuzz -- --nocapture --test-threads 1

.PHONY: soak
soak: tools ## TASKS (1000000) tasks through a worker, one in ten hostile, on BROKER (memory:): nothing lost, memory flat
	cargo build --workspace --bin soak
	$${CARGO_TARGET_DIR:-target}/debug/soak --tasks $(or $(TASKS),1000000) --broker $(or $(BROKER),memory:)

.PHONY: check
check: check-format check-host check-guests check-docs ## What has to be clean before a commit: format, lints, docs

.PHONY: check-format
check-format:
	cargo fmt --all --check

.PHONY: check-host
check-host:
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: check-guests
check-guests:
	cargo +$$(scripts/wasm-toolchain) clippy --target wasm32-wasip2 $(GUESTS) -- -D warnings

.PHONY: check-docs
# The SDK's docs are for its users; the host's are for who works on it, so they may speak of what is private.
check-docs:
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps -p tasq-sdk
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --no-deps --workspace --exclude tasq-sdk --document-private-items

.PHONY: tools
tools: ## What tests need beside rustup: the wasm targets, cargo-component, the languages' compilers and servers, into ${TASQ_CACHE:-~/.cache/tasq}
	@scripts/wasm-toolchain >/dev/null
	@scripts/cargo-component >/dev/null
	@scripts/guest-tools >/dev/null
	@scripts/servers
