//! Inside a component: the contract's imports. Only those whose functions are called end up in the component.

use super::HostError;
use crate::bindings::tasq::handler::{config as settings, context, log as logs, producer, store, types};
use crate::context::Stop;
use crate::log::Level;
use crate::producer::NewTask;

pub(crate) fn remaining_ms() -> u64 {
    context::remaining_ms()
}

pub(crate) fn stopping() -> Option<Stop> {
    context::stopping().map(|stop| match stop {
        context::Stop::Cancelled => Stop::Cancelled,
        context::Stop::ShuttingDown => Stop::ShuttingDown,
    })
}

pub(crate) fn progress(percent: u8, note: &str) {
    context::progress(percent, note);
}

pub(crate) fn log_enabled(level: Level) -> bool {
    logs::enabled(wire_level(level))
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| types::Header { name: (*name).to_owned(), value: value.clone() }).collect();
    logs::log(wire_level(level), message, &fields);
}

pub(crate) fn config(name: &str) -> Option<String> {
    settings::get(name)
}

pub(crate) fn enqueue(task: NewTask) -> Result<String, HostError> {
    let task = producer::NewTask {
        handler: task.handler,
        payload: task.payload,
        content_type: task.content_type,
        queue: task.queue,
        delay_ms: task.delay_ms,
        unique_key: task.unique_key,
        headers: headers(task.headers),
        options: headers(task.options),
    };
    producer::enqueue(&task).map_err(HostError::from)
}

pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, HostError> {
    store::get(key).map_err(HostError::from)
}

pub(crate) fn store_put(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), HostError> {
    store::put(key, value, ttl_ms).map_err(HostError::from)
}

pub(crate) fn store_replace(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, HostError> {
    store::replace(key, expected, value, 0).map_err(HostError::from)
}

pub(crate) fn store_increment(key: &str, by: i32) -> Result<i64, HostError> {
    store::increment(key, by, 0).map_err(HostError::from)
}

pub(crate) fn store_remove(key: &str) -> Result<(), HostError> {
    store::remove(key).map_err(HostError::from)
}

fn wire_level(level: Level) -> logs::Level {
    match level {
        Level::Trace => logs::Level::Trace,
        Level::Debug => logs::Level::Debug,
        Level::Info => logs::Level::Info,
        Level::Warn => logs::Level::Warn,
        Level::Error => logs::Level::Error,
    }
}

fn headers(pairs: Vec<(String, String)>) -> Vec<types::Header> {
    pairs.into_iter().map(|(name, value)| types::Header { name, value }).collect()
}

impl From<types::HostError> for HostError {
    fn from(error: types::HostError) -> HostError {
        HostError { kind: error.kind, message: error.message }
    }
}
