//! What a guest can call: the contract's interfaces and WASI over an empty context; and which of a component's imports
//! that covers.

use std::time::Instant;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceTable, types::ComponentItem};
use wasmtime::{Engine, ExternType, Module, ResourceLimiter};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::command::Surroundings;
use super::http::Requests;
use super::journal::{Journal, LINE, line};
use super::limits::Limits;
use super::manifest::{Grants, Setting};
use super::producer::Enqueued;
use super::store::Asked;
use super::{Access, Call, Handler, Import, Stop, stop};
use crate::store::Store;
use crate::task::{DEPTH, LogLevel, truncate};
use std::sync::Arc;

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "task-handler",
        ownership: Borrowing { duplicate_if_necessary: true },
        // The store waits for a server; everything else answers at once.
        imports: { "tasq:handler/store": async },
        exports: { default: async },
    });
}

pub(super) use bindings::exports::tasq::handler::handler::{Failure, Task};
pub(super) use bindings::tasq::handler::types::{FailureKind, HeaderParam as Header};
use bindings::tasq::handler::{config, context, log, types};
pub(super) use bindings::{TaskHandler, TaskHandlerPre};

/// What a handler exports.
pub(super) const EXPORT: &str = "tasq:handler/handler@0.1.0";

/// Handles of every kind that one run may hold at once.
pub(super) const HANDLES: usize = 1_000;
const RANDOM: u64 = 64 << 10;

/// Everything that belongs to one run, in its store.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) host_calls: u64,
    pub(super) task: TaskFacts,
    pub(super) handler: Arc<Handler>,
    pub(super) stop: Stop,
    pub(super) deadline: Instant,
    pub(super) enqueued: Enqueued,
    /// Where the handler keeps what outlives its runs; none where there is no such place.
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) asked: Asked,
    /// For a command; none for a handler of the contract.
    pub(super) surroundings: Option<Surroundings>,
    // Most runs never call WASI, and its context costs more than the rest of the store.
    wasi: Option<Box<WasiCtx>>,
    preview1: Option<Box<WasiP1Ctx>>,
    http: Option<Box<Requests>>,
    table: ResourceTable,
}

/// Whose run it is, and what it says.
pub(super) struct TaskFacts {
    pub(super) id: crate::task::TaskId,
    pub(super) attempt: u32,
    /// How many tasks, each enqueued by the one before it, led to this one.
    pub(super) depth: u32,
    pub(super) journal: Journal,
}

impl TaskFacts {
    pub(super) fn of(call: &Call) -> TaskFacts {
        let depth = call.task.headers.get(DEPTH).and_then(|depth| depth.parse().ok()).unwrap_or(0);
        TaskFacts { id: call.task.id.clone(), attempt: call.attempt, depth, journal: Journal::of(call) }
    }
}

impl State {
    pub(super) fn new(limits: Limits, task: TaskFacts, handler: Arc<Handler>, stop: Stop, deadline: Instant) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (surroundings, wasi, preview1, enqueued, store) = (None, None, None, Enqueued::default(), None);
        let (host_calls, http) = (0, None);
        State {
            limits,
            host_calls,
            task,
            handler,
            stop,
            deadline,
            enqueued,
            store,
            asked: Asked::default(),
            surroundings,
            wasi,
            preview1,
            http,
            table,
        }
    }

    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }
}

impl State {
    /// For core modules; made at the first call, like the other one.
    pub(super) fn preview1(&mut self) -> &mut WasiP1Ctx {
        let State { preview1, task, surroundings, .. } = self;
        preview1.get_or_insert_with(|| {
            let mut context = context(&task.journal, surroundings.as_ref()).build_p1();
            context.ctx().table.set_max_capacity(HANDLES);
            Box::new(context)
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let State { wasi, table, task, surroundings, .. } = self;
        let ctx = wasi.get_or_insert_with(|| Box::new(context(&task.journal, surroundings.as_ref()).build()));
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let State { http, table, handler, task, .. } = self;
        let requests = http.get_or_insert_with(|| {
            Box::new(Requests::new(handler.reach.clone(), task.id.clone(), handler.name.clone()))
        });
        let Requests { ctx, hooks } = &mut **requests;
        WasiHttpCtxView { hooks, table, ctx }
    }
}

/// WASI over nothing: no files, no network; what a command needs, and output that is written down.
fn context(journal: &Journal, surroundings: Option<&Surroundings>) -> WasiCtxBuilder {
    let mut context = WasiCtxBuilder::new();
    context.stdout(journal.stdout()).stderr(journal.stderr()).max_random_size(RANDOM);
    context.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    if let Some(surroundings) = surroundings {
        surroundings.lay_out(&mut context);
    }
    context
}

/// A linker with everything a component may import.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    bindings::TaskHandler::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Every interface that `component` imports, and what becomes of it.
pub(super) fn survey(engine: &Engine, component: &Component, grants: &Grants) -> Vec<Import> {
    let ty = component.component_type();
    ty.imports(engine)
        .map(|(name, item)| {
            let is_instance = matches!(item.ty, ComponentItem::ComponentInstance(_));
            Import { interface: line(name), access: if is_instance { access(name, grants) } else { Access::Refused } }
        })
        .collect()
}

/// The same for a core module: functions, which are all that WASI preview 1 is.
pub(super) fn survey_module(module: &Module) -> Vec<Import> {
    let mut interfaces: Vec<(String, Access)> = module
        .imports()
        .map(|import| match (import.module(), import.ty()) {
            ("wasi_snapshot_preview1", ExternType::Func(_)) => (import.module().to_owned(), Access::Granted),
            (module, _) => (format!("{module}.{}", import.name()), Access::Refused),
        })
        .collect();
    interfaces.sort_by(|a, b| a.0.cmp(&b.0));
    interfaces.dedup();
    interfaces.into_iter().map(|(interface, access)| Import { interface: line(&interface), access }).collect()
}

/// An error where the component exports no `handle` of the contract's type. The bindings look for its name only when they
/// are made, and would find out about its type at each run.
pub(super) fn check_export(pre: &InstancePre<State>) -> Result<(), Mismatch> {
    let component = pre.component();
    let (_, instance) = component.get_export(None, EXPORT).ok_or(Mismatch::Missing)?;
    let (handle, _) = component.get_export(Some(&instance), "handle").ok_or(Mismatch::Missing)?;
    let ComponentItem::ComponentFunc(handle) = handle else { return Err(Mismatch::Missing) };
    let ty = pre.instance_type();
    handle.typecheck::<(&[u8], Task<'_>), (Result<Vec<u8>, Failure>,)>(&ty).map_err(Mismatch::Type)
}

/// What is wrong with a component's export.
pub(super) enum Mismatch {
    /// There is none.
    Missing,
    /// It is a function of another type.
    Type(wasmtime::Error),
}

fn access(interface: &str, grants: &Grants) -> Access {
    let (path, version) = interface.split_once('@').unwrap_or((interface, ""));
    match path {
        // Each name is absent.
        "tasq:handler/config" if version.starts_with("0.1.") && grants.config.is_empty() => Access::Inert,
        "tasq:handler/types" | "tasq:handler/context" | "tasq:handler/log" | "tasq:handler/config"
            if version.starts_with("0.1.") =>
        {
            Access::Granted
        }
        "tasq:handler/producer" if version.starts_with("0.1.") && !grants.enqueue.is_empty() => Access::Granted,
        "tasq:handler/store" if version.starts_with("0.1.") && grants.store => Access::Granted,
        "tasq:handler/producer" | "tasq:handler/store" if version.starts_with("0.1.") => Access::Inert,
        _ if !version.starts_with("0.2.") => Access::Refused,
        "wasi:http/types" | "wasi:http/outgoing-handler" if grants.http.is_empty() => Access::Inert,
        "wasi:http/types" | "wasi:http/outgoing-handler" => Access::Granted,
        "wasi:cli/stdout" | "wasi:cli/stderr" | "wasi:cli/exit" => Access::Granted,
        _ => match path.split('/').next().unwrap_or_default() {
            "wasi:io" | "wasi:clocks" | "wasi:random" => Access::Granted,
            "wasi:cli" | "wasi:filesystem" | "wasi:sockets" => Access::Inert,
            _ => Access::Refused,
        },
    }
}

impl types::Host for State {}

impl context::Host for State {
    fn remaining_ms(&mut self) -> u64 {
        self.host_calls += 1;
        crate::task::millis(self.deadline.saturating_duration_since(Instant::now()))
    }

    fn stopping(&mut self) -> Option<context::Stop> {
        self.host_calls += 1;
        match self.stop.wished() {
            stop::Wish::None => None,
            stop::Wish::Finish | stop::Wish::GiveBack => Some(context::Stop::ShuttingDown),
            stop::Wish::Cancel | stop::Wish::Abandon => Some(context::Stop::Cancelled),
        }
    }

    fn progress(&mut self, percent: u8, note: String) {
        self.host_calls += 1;
        let (TaskFacts { id, attempt, .. }, handler) = (&self.task, &self.handler.name);
        tracing::debug!(target: "guest", task = %id, %handler, attempt, percent = percent.min(100), note = %line(&note), "progress");
    }
}

impl log::Host for State {
    fn enabled(&mut self, level: log::Level) -> bool {
        self.host_calls += 1;
        is_wanted(level)
    }

    fn log(&mut self, level: log::Level, message: String, fields: Vec<log::Header>) {
        self.host_calls += 1;
        if !is_wanted(level) {
            return;
        }
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.task.journal.log(level, || {
            let mut text = line(&message);
            for field in &fields {
                text.push_str(&format!(" {}={}", line(&field.name), line(&field.value)));
                truncate(&mut text, LINE);
            }
            text
        });
    }
}

/// From information on, lines are kept with the task whatever the host's own log shows.
fn is_wanted(level: log::Level) -> bool {
    match level {
        log::Level::Trace => tracing::enabled!(target: "guest", tracing::Level::TRACE),
        log::Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
        log::Level::Info | log::Level::Warn | log::Level::Error => true,
    }
}

impl config::Host for State {
    fn get(&mut self, name: String) -> Option<String> {
        self.host_calls += 1;
        match self.handler.manifest.grants.config.get(&name)? {
            Setting::Text(text) => Some(text.clone()),
            Setting::Secret(name) => self.handler.secrets.placeholder(name).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_interfaces_are_told_apart() {
        for (interface, want) in [
            ("tasq:handler/log@0.1.0", Access::Granted),
            ("tasq:handler/store@0.1.3", Access::Inert),
            ("tasq:handler/log@0.2.0", Access::Refused),
            ("wasi:io/streams@0.2.6", Access::Granted),
            ("wasi:cli/environment@0.2.6", Access::Inert),
            ("wasi:filesystem/types@0.2.0", Access::Inert),
            ("wasi:cli/stdout@0.3.0", Access::Refused),
            ("wasi:http/types@0.2.0", Access::Inert),
            ("wasi:http/outgoing-handler@0.2.12", Access::Inert),
            ("wasi:http/incoming-handler@0.2.0", Access::Refused),
            ("wasi:http/types@0.3.0", Access::Refused),
            ("acme:db/query@1.0.0", Access::Refused),
            ("env", Access::Refused),
        ] {
            assert_eq!(access(interface, &Grants::default()), want, "{interface}");
        }
        let store = Grants { store: true, ..Grants::default() };
        assert_eq!(access("tasq:handler/store@0.1.0", &store), Access::Granted);
        let enqueue = Grants { enqueue: vec!["mail".parse().unwrap()], ..Grants::default() };
        assert_eq!(access("tasq:handler/producer@0.1.0", &Grants::default()), Access::Inert);
        assert_eq!(access("tasq:handler/producer@0.1.0", &enqueue), Access::Granted);
        let http = Grants { http: vec!["https://example.com".parse().unwrap()], ..Grants::default() };
        assert_eq!(access("wasi:http/types@0.2.0", &http), Access::Granted);
    }
}
