//! The wasmtime engine, its pool and the thread that interrupts guests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures};

use super::swap;

/// Between two looks at guests that compute.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Beyond this much address space per memory a guest can't grow: the operator's ceiling for `memory`.
pub(super) const MAX_MEMORY: usize = 4 << 30;

const WASM_STACK: usize = 512 << 10;
// What is left beside the wasm stack is all that host functions have.
const ASYNC_STACK: usize = 1 << 20;
const KEEP_RESIDENT: usize = 64 << 10;
// Of one component.
pub(super) const CORE_INSTANCES: u32 = 100;
pub(super) const MEMORIES: u32 = 10;
pub(super) const TABLES: u32 = 64;
const SMALL_RESERVATION: u64 = 256 << 20;

/// An engine for runs.
pub(super) struct Built {
    pub(super) engine: Engine,
    /// Bytes of address space for each memory of a guest: code is compiled for that.
    pub(super) reservation: u64,
    /// What a user should know about how it came out: one line each.
    pub(super) notes: Vec<String>,
}

/// An engine for `slots` runs at once.
pub(super) fn build(slots: usize, pagemap_scan: bool) -> wasmtime::Result<Built> {
    let mut notes = Vec::new();
    let scan = scan(pagemap_scan, &mut notes);
    match Engine::new(&config(slots, scan, MAX_MEMORY as u64)) {
        Ok(engine) => Ok(Built { engine, reservation: MAX_MEMORY as u64, notes }),
        // Address space is limited (ulimit -v, overcommit): guests that grow pay for moving instead.
        Err(error) => {
            let engine = Engine::new(&config(slots, scan, SMALL_RESERVATION))?;
            notes.push(format!(
                "address space for {slots} memories of 4 GiB can't be reserved ({error:#}): reserved 256 MiB each, larger guests are refused; lift `ulimit -v` or lower --concurrency"
            ));
            Ok(Built { engine, reservation: SMALL_RESERVATION, notes })
        }
    }
}

/// An engine that compiles for those of [`build`], and has no room for runs.
pub(super) fn for_compiling(reservation: u64) -> wasmtime::Result<Engine> {
    Engine::new(&settings(reservation))
}

fn scan(wanted: bool, notes: &mut Vec<String>) -> Enabled {
    if !wanted {
        notes.push("pagemap_scan is off as asked: a run costs about three times as much".into());
        return Enabled::No;
    }
    match swap::excluded() {
        Ok(because) => {
            notes.push(format!("pagemap_scan is on where the kernel has it (6.7): {because}"));
            Enabled::Auto
        }
        // The scan skips pages that were swapped out, so the next task could read them.
        Err(because) => {
            notes.push(format!(
                "pagemap_scan is off, a run costs about three times as much: {because}; turn swap off, set MemorySwapMax=0 for the service, or allow it to lock memory"
            ));
            Enabled::No
        }
    }
}

fn config(slots: usize, scan: Enabled, reservation: u64) -> Config {
    let count = |factor: usize| u32::try_from(slots.saturating_mul(factor)).unwrap_or(u32::MAX);
    // One component may have more than its slot's share: what is taken when it is loaded must find room to run.
    let at_least = |factor: usize, component: u32| count(factor).max(component);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count(1))
        .total_core_instances(at_least(50, CORE_INSTANCES))
        .total_memories(at_least(2, MEMORIES))
        .total_tables(at_least(16, TABLES))
        .total_stacks(count(1))
        .table_elements(100_000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(16 << 20)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(usize::try_from(reservation).unwrap_or(MAX_MEMORY))
        .max_unused_warm_slots(count(1))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(scan);
    let mut config = settings(reservation);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// All that compiled code depends on.
fn settings(reservation: u64) -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(reservation)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .concurrency_support(false)
        // What no guest needs is off, so that a dependency which turns a cargo feature on can't turn it on here.
        .wasm_features(WasmFeatures::GC | WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS, false)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::MEMORY64 | WasmFeatures::STACK_SWITCHING, false)
        .wasm_features(WasmFeatures::CM_ASYNC | WasmFeatures::FUNCTION_REFERENCES, false);
    config
}

/// Advances the epoch each [`TICK`] while guests run; asleep while none do, so that an idle worker costs nothing.
pub(super) struct Ticker {
    thread: Thread,
    asleep: Arc<AtomicBool>,
}

impl Ticker {
    /// Starts the thread (of the operating system: a guest that loops must not be able to hold it up). It ends when
    /// the `active` count is gone. `active` says whether guests run.
    pub(super) fn start(engine: Engine, active: Weak<dyn Fn() -> bool + Send + Sync>) -> std::io::Result<Ticker> {
        let asleep = Arc::new(AtomicBool::new(false));
        let mine = asleep.clone();
        let tick = move || {
            let mut idle_ticks = 0;
            while let Some(is_active) = active.upgrade() {
                idle_ticks = if is_active() { 0 } else { idle_ticks + 1 };
                // A second of grace: under light load the thread isn't woken for each run.
                if idle_ticks > 100 {
                    mine.store(true, Ordering::SeqCst);
                    // Looks once more after announcing sleep: a run that began in between saw `asleep` unset.
                    if !is_active() {
                        drop(is_active);
                        std::thread::park();
                    }
                    mine.store(false, Ordering::SeqCst);
                    idle_ticks = 0;
                    continue;
                }
                drop(is_active);
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        };
        let handle = std::thread::Builder::new().name("epoch".into()).spawn(tick)?;
        Ok(Ticker { thread: handle.thread().clone(), asleep })
    }

    /// A run has begun (and is counted as active).
    pub(super) fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}
