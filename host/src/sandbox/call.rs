//! One run: a fresh store and instance, the call, and what its end means.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::{Engine, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::budget::Budget;
use super::ceilings::Ceilings;
use super::command::{self, Surroundings};
use super::imports::{self, State, TaskFacts, TaskHandler};
use super::limits::Limits;
use super::manifest::OnTrap;
use super::meter::{Meter, Metered, Stopped};
use super::output::printable;
use super::program::Program;
use super::stop::Wish;
use super::{CPU, Call, Handler, MEMORY, RESULT, Ran, Stop, TIMEOUT};
use crate::clock::{Clock, System};
use crate::task::{Failure, FailureKind, Outcome, PAYLOAD, Receipt, Timestamp, Verdict, millis, truncate};

/// What every run of a sandbox shares.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) budget: Arc<Budget>,
    pub(super) ceilings: Ceilings,
    /// One less than there are threads for guests, at least one.
    pub(super) turns: Arc<Semaphore>,
    pub(super) active: Arc<AtomicUsize>,
    pub(super) wake: Box<dyn Fn() + Send + Sync>,
    /// For handlers that keep something.
    pub(super) kept: OnceLock<Arc<dyn crate::store::Store>>,
}

/// One call of a guest into the host carries at most this; the largest wish is a follow-up's payload.
const PER_HOST_CALL: usize = PAYLOAD + (256 << 10);
pub(super) const MESSAGE: usize = 4 << 10;
/// The host had no room: what a worker does with a slot too many.
const NO_ROOM: Duration = Duration::from_secs(1);

/// How a call ended before anyone judged it.
enum Raw {
    Returned(Result<Vec<u8>, imports::Failure>),
    /// A command ended with this status.
    Exited(i32),
    Broke(wasmtime::Error),
    NotStarted(wasmtime::Error),
    Panicked(Box<dyn Any + Send>),
    Stopped(Stopped),
    Wished(Wish),
}

/// Want of room is said now and then: it may be met by each of thousands of runs.
static SAID: Seldom = Seldom(AtomicU64::new(0));
const SELDOM: Duration = Duration::from_secs(10);

struct Seldom(AtomicU64);

impl Seldom {
    /// True at most once in [`SELDOM`].
    fn is_due(&self) -> bool {
        let now = millis(System.now().since(Timestamp(0)));
        let said = self.0.load(Ordering::Relaxed);
        now.saturating_sub(said) >= millis(SELDOM)
            && self.0.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

struct Active<'a>(&'a AtomicUsize);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    pub(super) async fn run(&self, handler: &Arc<Handler>, call: Call, stop: Stop) -> Ran {
        if let Some(wish) = self.room(&stop).await {
            return Ran { outcome: wished(wish), receipt: Receipt::default(), follow_ups: Vec::new(), logs: None };
        }
        self.active.fetch_add(1, Ordering::SeqCst);
        let _active = Active(&self.active);
        (self.wake)();
        let began = Instant::now();
        let options = &call.task.options;
        let timeout = self.ceilings.timeout(options.timeout.or(handler.manifest.timeout).unwrap_or(TIMEOUT));
        let cpu = self.ceilings.cpu(options.cpu.or(handler.manifest.cpu).unwrap_or(CPU));
        let memory = handler.manifest.memory.map_or(MEMORY, |memory| memory.as_u64());
        let deadline = began.checked_add(timeout).unwrap_or(began + Duration::from_secs(1 << 31));
        let meter = Meter::new(cpu, began, deadline);
        let limits = Limits::new(memory, meter.clone(), self.budget.clone());
        let facts = TaskFacts::of(&call);
        let mut state = State::new(limits, facts, handler.clone(), stop.clone(), deadline);
        state.store = self.kept.get().filter(|_| handler.manifest.grants.store).cloned();
        let mut store = self.store(state, meter.clone());
        let raw = drive(&mut store, handler, &call, timeout, &meter, &stop).await;
        let (outcome, frames) = judge(raw, &store, handler, timeout, cpu);
        let follow_ups = store.data_mut().enqueued.take();
        let state = store.data();
        let receipt = Receipt {
            queue_ms: millis(call.started_at.since(call.due_at)),
            wall_ms: millis(began.elapsed()),
            cpu_ms: millis(meter.cpu()),
            peak_memory_bytes: state.limits.peak(),
            host_calls: state.host_calls,
            digest: handler.digest.clone(),
            worker: Arc::default(),
            frames,
            stderr: state.task.journal.tail(),
        };
        Ran { outcome, receipt, follow_ups, logs: state.task.journal.close() }
    }

    /// Waits until there is room for the run; if it must stop before that, why.
    async fn room(&self, stop: &Stop) -> Option<Wish> {
        // As good as always: then nothing is made to wait with.
        if self.budget.has_room() && stop.wished() < Wish::GiveBack {
            return None;
        }
        tokio::select! {
            biased;
            wish = stop.stopped() => Some(wish),
            () = self.budget.room() => None,
        }
    }

    /// The least that a fresh sandbox costs: store, instance, call, with the engine's settings and nothing around it.
    pub(super) async fn bare(&self, handler: &Arc<Handler>, call: &Call) -> wasmtime::Result<()> {
        let began = Instant::now();
        let deadline = began + TIMEOUT;
        let meter = Meter::new(Duration::MAX, began, deadline);
        let limits = Limits::new(MEMORY, meter.clone(), self.budget.clone());
        let facts = TaskFacts::of(call);
        let state = State::new(limits, facts, handler.clone(), Stop::new(), deadline);
        match enter(&mut self.store(state, meter), handler, call, TIMEOUT).await {
            Raw::Returned(_) | Raw::Exited(_) => Ok(()),
            Raw::NotStarted(error) | Raw::Broke(error) => Err(error),
            Raw::Panicked(_) | Raw::Stopped(_) | Raw::Wished(_) => unreachable!("nobody asks a bare call to stop"),
        }
    }

    /// Armed before anything of the guest runs: its start function is as hostile as the rest.
    fn store(&self, state: State, meter: Arc<Meter>) -> Store<State> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(State::limiter);
        store.set_hostcall_fuel(PER_HOST_CALL);
        store.set_max_component_handles(imports::HANDLES);
        store.set_epoch_deadline(1);
        let turns = self.turns.clone();
        store.epoch_deadline_callback(move |_| Ok(meter.tick(&turns)?));
        store
    }
}

async fn drive(
    store: &mut Store<State>,
    handler: &Handler,
    call: &Call,
    timeout: Duration,
    meter: &Arc<Meter>,
    stop: &Stop,
) -> Raw {
    let deadline = store.data().deadline;
    let call = pin!(enter(store, handler, call, timeout));
    let mut metered = Metered { call, meter: meter.clone() };
    // Most runs end at their first poll: then what they would wait with isn't even made.
    if let Poll::Ready(polled) = poll_fn(|context| Poll::Ready(Pin::new(&mut metered).poll(context))).await {
        return polled.unwrap_or_else(Raw::Panicked);
    }
    // It has just been polled: before it is again, others of this thread have their turn.
    let mut just_polled = true;
    let metered = poll_fn(|context| match std::mem::take(&mut just_polled) {
        true => Poll::Pending,
        false => Pin::new(&mut metered).poll(context),
    });
    tokio::select! {
        biased;
        polled = metered => polled.unwrap_or_else(Raw::Panicked),
        () = tokio::time::sleep_until(deadline.into()) => Raw::Stopped(Stopped::Timeout),
        () = meter.evicted() => Raw::Stopped(Stopped::Memory),
        wish = stop.stopped() => Raw::Wished(wish),
    }
}

/// Instantiates and calls.
async fn enter(store: &mut Store<State>, handler: &Handler, call: &Call, timeout: Duration) -> Raw {
    if !matches!(handler.program, Program::Handler(_)) {
        store.data_mut().surroundings = Some(Surroundings::of(call, timeout));
    }
    match &handler.program {
        Program::Handler(pre) => match pre.instantiate_async(&mut *store).await {
            Ok(instance) => handle(store, &instance, call, timeout).await,
            Err(error) => Raw::NotStarted(error),
        },
        Program::Command(pre) => match pre.instantiate_async(&mut *store).await {
            Ok(command) => {
                exited(command.wasi_cli_run().call_run(&mut *store).await.map(|ended| i32::from(ended.is_err())))
            }
            Err(error) => Raw::NotStarted(error),
        },
        Program::Module(pre) => match pre.instantiate_async(&mut *store).await {
            Ok(instance) => match instance.get_typed_func::<(), ()>(&mut *store, "_start") {
                Ok(start) => exited(start.call_async(&mut *store, ()).await.map(|()| 0)),
                Err(error) => Raw::NotStarted(error),
            },
            Err(error) => Raw::NotStarted(error),
        },
    }
}

/// A command's exit travels as an error where it didn't return.
fn exited(ended: wasmtime::Result<i32>) -> Raw {
    match ended {
        Ok(status) => Raw::Exited(status),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => Raw::Exited(*status),
            None => Raw::Broke(error),
        },
    }
}

async fn handle(store: &mut Store<State>, instance: &TaskHandler, call: &Call, timeout: Duration) -> Raw {
    let headers: Vec<imports::Header<'_>> =
        call.task.headers.iter().map(|(name, value)| imports::Header { name, value }).collect();
    let upstream: Vec<&[u8]> = call.task.upstream.iter().map(|result| &result[..]).collect();
    let task = imports::Task {
        id: call.task.id.as_str(),
        handler: call.task.handler.as_str(),
        queue: call.task.queue.as_str(),
        attempt: call.attempt,
        run: call.run,
        max_retries: call.max_retries.min(i32::MAX as u32),
        content_type: &call.task.content_type,
        enqueued_at_ms: call.enqueued_at.0,
        due_at_ms: call.due_at.0,
        deadline_ms: call.started_at.plus(timeout).0,
        headers: &headers,
        upstream: &upstream,
    };
    match instance.tasq_handler_handler().call_handle(&mut *store, &call.task.payload, task).await {
        Ok(returned) => Raw::Returned(returned),
        Err(error) => Raw::Broke(error),
    }
}

fn wished(wish: Wish) -> Outcome {
    match wish {
        Wish::Abandon => Outcome::Gone,
        Wish::Cancel => Outcome::Cancelled,
        Wish::None | Wish::Finish | Wish::GiveBack => Outcome::Release(Duration::ZERO),
    }
}

/// What became of the run, and the frames of a trap.
fn judge(
    raw: Raw,
    store: &Store<State>,
    handler: &Handler,
    timeout: Duration,
    cpu: Duration,
) -> (Outcome, Vec<String>) {
    let error = match raw {
        Raw::Returned(returned) => return (returned_by(returned), Vec::new()),
        Raw::Exited(status) => {
            let state = store.data();
            let stdout =
                state.surroundings.as_ref().map(|surroundings| surroundings.stdout.clone()).unwrap_or_default();
            return (command::outcome(status, &stdout, &state.task.journal.tail()), Vec::new());
        }
        Raw::Wished(wish) => return (wished(wish), Vec::new()),
        Raw::Stopped(stopped) => return (stopped_by(stopped, timeout, cpu), Vec::new()),
        Raw::Panicked(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let TaskFacts { id, attempt, .. } = &store.data().task;
            tracing::error!(task = %id, handler = %handler.name, attempt, "a host function panicked: {text}");
            let failure = failed(FailureKind::Host, "host-panic", format!("the host panicked: {text}"));
            return (Outcome::Failed(failure, Verdict::Retry(None)), Vec::new());
        }
        Raw::NotStarted(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            if SAID.is_due() {
                tracing::warn!(handler = %handler.name, "no room for another run: {error:#}");
            }
            return (Outcome::Release(NO_ROOM), Vec::new());
        }
        Raw::NotStarted(error) | Raw::Broke(error) => error,
    };
    let frames = frames(&error);
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return (stopped_by(*stopped, timeout, cpu), frames);
    }
    (broken(&error, store.data(), handler.manifest.on_trap), frames)
}

fn returned_by(returned: Result<Vec<u8>, imports::Failure>) -> Outcome {
    let failure = match returned {
        Ok(result) if result.len() > RESULT => {
            let message = format!("a result of {} bytes: expected at most {RESULT}", result.len());
            return Outcome::Failed(failed(FailureKind::Limit, "invalid-result", message), Verdict::Discard);
        }
        Ok(result) => return Outcome::Done(Bytes::from(result)),
        Err(failure) => failure,
    };
    let after = (failure.retry_after_ms > 0).then(|| Duration::from_millis(failure.retry_after_ms));
    let verdict = match failure.kind {
        imports::FailureKind::Retry => Verdict::Retry(after),
        imports::FailureKind::Discard => Verdict::Discard,
        imports::FailureKind::Snooze => Verdict::Snooze(after),
    };
    let mut code = printable(&failure.code).replace('\n', " ");
    truncate(&mut code, 64);
    Outcome::Failed(failed(FailureKind::Handler, &code, printable(&failure.message)), verdict)
}

fn stopped_by(stopped: Stopped, timeout: Duration, cpu: Duration) -> Outcome {
    let (code, limit) = match stopped {
        Stopped::Timeout => ("timeout", timeout),
        Stopped::Cpu => ("cpu-limit", cpu),
        Stopped::Memory => {
            if SAID.is_due() {
                tracing::warn!(
                    "host-memory: the memory budget of the process is used up; the largest runs are given back"
                );
            }
            return Outcome::Release(NO_ROOM);
        }
    };
    let message = format!("{stopped} of {}", humantime::format_duration(limit));
    Outcome::Failed(failed(FailureKind::Limit, code, message), Verdict::Retry(None))
}

/// A trap, an exit, or bytes that can't be taken out of the guest.
fn broken(error: &wasmtime::Error, state: &State, on_trap: OnTrap) -> Outcome {
    let trap = error.downcast_ref::<Trap>();
    let exit = error.downcast_ref::<I32Exit>();
    let (code, summary) = match (trap, exit) {
        (_, Some(I32Exit(status))) => ("exit", format!("the guest exited with status {status}")),
        _ if state.limits.refused() => {
            ("out-of-memory", format!("out of memory: growth beyond the limit was refused, then {}", root(error)))
        }
        (Some(Trap::StackOverflow), _) => ("stack-overflow", "the guest's stack is exhausted".to_owned()),
        (Some(trap), _) => ("trap", trap.to_string()),
        // Raised below a call from the guest into the host: it passed what can't be taken (a pointer, a number, too much).
        (None, None) if error.downcast_ref::<WasmBacktrace>().is_some_and(|trace| !trace.frames().is_empty()) => {
            ("trap", format!("a call into the host failed: {}", root(error)))
        }
        (None, None) => {
            let failure = failed(FailureKind::Limit, "invalid-result", format!("invalid result: {}", root(error)));
            return Outcome::Failed(failure, Verdict::Discard);
        }
    };
    let stderr = state.task.journal.tail();
    let message = if stderr.is_empty() { summary } else { format!("{summary}\n{stderr}") };
    let verdict = match on_trap {
        OnTrap::Retry => Verdict::Retry(None),
        OnTrap::Discard => Verdict::Discard,
    };
    Outcome::Failed(failed(FailureKind::Trap, code, message), verdict)
}

fn root(error: &wasmtime::Error) -> String {
    printable(&error.root_cause().to_string())
}

fn failed(kind: FailureKind, code: &str, mut message: String) -> Failure {
    truncate(&mut message, MESSAGE);
    Failure { kind, code: code.to_owned(), message }
}

/// Innermost first, as many as help.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = trace.frames().iter().take(20).map(|frame| {
        // The engine demangles only where it prints a whole backtrace. `{:#}` leaves out the hash; what isn't Rust's stays
        // as it is, and a name that would unfold without end is cut by the demangler.
        let name = frame.func_name().map(|name| format!("{:#}", rustc_demangle::demangle(name)));
        let name = name.unwrap_or_else(|| format!("function {}", frame.func_index()));
        let mut name = printable(&name).replace('\n', " ");
        truncate(&mut name, 200);
        name
    });
    names.collect()
}
