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
bench: ## What this machine gives, release build: the hot parts alone (`cargo bench`), then memory and an SQLite file; some minutes
	@echo "hot parts alone: codec, push, claim, settle, one sandbox run (host/benches/hot.rs)"
	cargo bench --workspace --bench hot
	@echo "enqueue, drain and latency, memory: and an SQLite file (scripts/bench)"
	cargo build --release --workspace --bin tasq-host
	scripts/bench

.PHONY: bench-peers
bench-peers: ## tasq-host and other queues in one run of their harness, on one Redis and one NATS (docs/BENCHMARKS.md); PEERS="tasq-host asynq"
	PEERS="$(PEERS)" tests/peers/run

.PHONY: scaling
scaling: ## What a task costs while waiting tasks, runs in flight, handlers, queues and payloads grow (docs/SCALING.md); BROKER=redis
	cargo build --release --workspace --bin tasq-host
	@scripts/servers
	scripts/scaling --broker $(or $(BROKER),redis) waiting inflight handlers queues payload

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
	$(if $(RUNS),TASQ_RUNS=$(RUNS) )cargo test --workspace --test languages --test examples --test commands --test bare

.PHONY: figures
figures: ## What a handler in each language takes: size, loading, a fresh run, memory (sdk/README.md); a release build
	@scripts/guest-tools >/dev/null
	cargo build --release --workspace --example language_figures
	$${CARGO_TARGET_DIR:-target}/release/examples/language_figures

.PHONY: chaos
chaos: tools ## Kill workers and servers under TASKS (100000) tasks, chains and groups, then count; BROKER=redis for one alone
	$(HOST) --bin chaos
	$${CARGO_TARGET_DIR:-target}/debug/chaos --tasks $(or $(TASKS),100000) $(BROKER)

.PHONY: simulate
simulate: ## Workers on simulated time under faults of all kinds, SEEDS (20000) new seeds; a failing one says how to see it again
	TASQ_SEEDS=$(or $(SEEDS),20000) cargo test --workspace --test simulation -- --nocapture everything

.PHONY: million
million: tools ## A million tasks (TASKS) through Redis and through NATS: the servers are as they were
	TASQ_TASKS=$(or $(TASKS),1000000) cargo test --workspace --test million -- --nocapture

.PHONY: corpus
corpus: tools ## Try the hostile corpus, each case within OVERRUN_MS (100) of its limit, and write docs/CORPUS.md
	TASQ_CORPUS=write TASQ_OVERRUN_MS=$(or $(OVERRUN_MS),100) cargo test --workspace --test corpus

.PHONY: leaks
leaks: tools ## Look 100,000 times for what one task left in the memory of the next, with each setup of the pool
	TASQ_PROBES=100000 cargo test --workspace --test leaks

.PHONY: fuzz
fuzz: tools ## Try inputs that nobody thought of, each target for SECONDS (60); what fails is kept in tests/regressions/fuzz
	TASQ_FUZZ_SECONDS=$(or $(SECONDS),60) cargo test --workspace --test fuzz -- --nocapture --test-threads 1

.PHONY: reload
reload: tools ## Replace, break, remove and add handlers CHANGES (1000) times under load: no task fails, memory flat
	TASQ_CHANGES=$(or $(CHANGES),1000) cargo test --workspace --test follow -- --nocapture under_load

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
